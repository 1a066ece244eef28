"""`.venv/bin/tollbook` runs the console of the checkout that its .venv lies in, wherever it is called from."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / "services").symlink_to(ROOT / "services")
    (root / "schemas").symlink_to(ROOT / "schemas")
    (root / "deploy").symlink_to(ROOT / "deploy")
    python = root / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "deploy" / "local" / "tollbook.sh", root / ".venv" / "bin" / "tollbook")
    return root


def run(command: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "TOLLBOOK_HOME": str(cwd / "nowhere")}
    return subprocess.run([str(command), *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_command_runs_from_any_folder_even_one_with_services_of_its_own(checkout: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "services").mkdir(parents=True)
    (elsewhere / "services" / "__init__.py").write_text("raise SystemExit('not ours')")
    done = run(checkout / ".venv" / "bin" / "tollbook", elsewhere, "ledger", "--help")
    assert (done.returncode, "cases" in done.stdout) == (0, True), done.stderr


def test_a_link_to_the_command_runs_too(checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "tollbook"
    link.symlink_to(checkout / ".venv" / "bin" / "tollbook")
    assert run(link, tmp_path, "--help").returncode == 0


def test_without_a_stack_the_command_says_where_it_looked_and_ends_with_3(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout / ".venv" / "bin" / "tollbook", tmp_path, "ledger", "cases", "list")
    assert done.returncode == 3
    assert "nowhere/stack.json" in done.stderr
    assert "TOLLBOOK_SETTLEMENT_URL" in done.stderr
    assert done.stdout == ""


def test_the_command_calls_itself_by_its_name(checkout: Path, tmp_path: Path) -> None:
    for arguments in (("--help",), ("ledger", "nothing")):
        done = run(checkout / ".venv" / "bin" / "tollbook", tmp_path, *arguments)
        assert "Usage: tollbook" in done.stdout + done.stderr
        assert "services.console" not in done.stdout + done.stderr


def test_backups_are_commands_too_although_the_stack_has_them(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout / ".venv" / "bin" / "tollbook", tmp_path, "backup", "verify", str(tmp_path))
    assert done.returncode == 1
    assert "no finished backup" in done.stdout


def test_wrong_usage_ends_with_2(checkout: Path, tmp_path: Path) -> None:
    assert run(checkout / ".venv" / "bin" / "tollbook", tmp_path, "ledger", "nothing").returncode == 2
