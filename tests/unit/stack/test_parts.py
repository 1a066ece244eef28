"""The small decisions of the stack."""

import re
import subprocess
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from deploy.local.errors import StackError, StepFailedError
from deploy.local.home import CHECKOUT, Home, write_private
from deploy.local.kafka.node import KafkaNode
from deploy.local.ports import assign, free_port
from deploy.local.postgres.account import Account
from deploy.local.postgres.binaries import binaries
from deploy.local.prerequisites import parse_java_version
from deploy.local.processes import ENGINES, PROCESSES, SERVICES, select
from deploy.local.seed import expanded
from deploy.local.supervisor_config import Program, render


class Outsider(Account):
    """An account that can reach nothing of ours."""

    def can_reach(self, path: Path) -> bool:
        return not path.exists()


def test_supervisord_reads_back_what_was_meant(tmp_path: Path) -> None:
    home = Home(tmp_path / "a home, mine")
    home.make()
    odd = ["/bin/echo", "two words", "100%", 'a "quote"']
    told = {"TOLLBOOK_DATA_DIR": "/x/a, b"}
    programs = [
        Program(name="kafka", group=ENGINES, command=["/bin/true"], directory=tmp_path),
        Program(name="edge", group=SERVICES, command=odd, directory=tmp_path, environment=told, stop_wait_s=7),
    ]
    write_private(home.supervisor_config, render(home, programs))
    options = ServerOptions()
    options.realize(["-c", str(home.supervisor_config)])
    groups = {group.name: group for group in options.process_group_configs}
    edge = groups[SERVICES].process_configs[0]
    assert groups[ENGINES].priority < groups[SERVICES].priority
    assert (edge.name, edge.environment, edge.stopwaitsecs, edge.autostart) == ("edge", told, 7, False)
    assert (
        subprocess.run(edge.command, shell=True, capture_output=True, text=True, check=True).stdout
        == 'two words 100% a "quote"\n'
    )


def test_a_home_that_supervisord_could_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="without %"):
        Home(tmp_path / "100%").make()


def test_a_port_is_kept_then_preferred_then_any() -> None:
    earlier, favourite = free_port(), free_port()
    assert assign({"edge": favourite}, {"edge": earlier}, fixed=True) == {"edge": earlier}
    assert assign({"edge": favourite}, {}, fixed=True) == {"edge": favourite}
    assert assign({"edge": favourite}, {}, fixed=False) != {"edge": favourite}


def test_no_port_is_given_twice() -> None:
    favourite = free_port()
    chosen = assign({"edge": favourite, "router": favourite}, {}, fixed=True)
    assert chosen["edge"] == favourite != chosen["router"]


def test_processes_start_in_the_tables_order() -> None:
    assert [process.name for process in select(["edge", "settlement"])] == ["settlement", "edge"]
    assert select(None) == PROCESSES
    with pytest.raises(StackError, match="nosuch"):
        select(["edge", "nosuch"])


def test_every_process_has_a_name_a_module_and_a_port_of_its_own() -> None:
    for values in ([p.name for p in PROCESSES], [p.module for p in PROCESSES], [p.port for p in PROCESSES]):
        assert len(set(values)) == len(values)


@pytest.mark.parametrize(
    ("printed", "major"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "1.8.0_202"', 8), ('openjdk version "25"', 25), ("", None)],
)
def test_javas_version_is_read_from_what_it_prints(printed: str, major: int | None) -> None:
    assert parse_java_version(printed) == major


def test_catalog_files_get_their_placeholders_filled(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("url: ${TOLLBOOK_PROVIDER_URL}/v1 # costs $$5")
    assert expanded(file, {"TOLLBOOK_PROVIDER_URL": "http://x"}) == "url: http://x/v1 # costs $5"


def test_a_comment_of_a_catalog_file_is_for_its_readers_and_filled_with_nothing(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("# yaml-language-server: $schema=x.json ${NOT_SET}\nurl: ${URL}\n  # $5\n")
    assert expanded(file, {"URL": "u"}) == "# yaml-language-server: $schema=x.json ${NOT_SET}\nurl: u\n  # $5\n"


@pytest.mark.parametrize(("text", "message"), [("${MISSING_KEY}", "MISSING_KEY"), ("$ 5", "write `\\$\\$`")])
def test_a_catalog_file_that_cannot_be_filled_says_why(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(text)
    with pytest.raises(StepFailedError, match=message):
        expanded(file, {})


def test_postgres_is_copied_with_its_libraries_to_where_its_account_can_reach_it(tmp_path: Path) -> None:
    directory = binaries(Outsider(), lambda: tmp_path)
    assert directory.is_relative_to(tmp_path)
    version = subprocess.run([directory / "initdb", "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("initdb (PostgreSQL) 18.")
    assert binaries(Outsider(), lambda: tmp_path) == directory


def test_homes_share_nothing_outside_themselves() -> None:
    one, other = Home(Path("/srv/one")), Home(Path("/srv/other"))
    assert one.outside != other.outside
    long_one, long_other = Home(Path("/srv") / ("x" * 120)), Home(Path("/srv") / ("y" * 120))
    assert long_one.supervisor_socket != long_other.supervisor_socket
    assert len(str(long_one.supervisor_socket)) <= 100


def test_kafkas_ports_may_change_between_starts(tmp_path: Path) -> None:
    def settings(port: int) -> str:
        directory = tmp_path / "kafka"
        (directory / "data").mkdir(parents=True, exist_ok=True)
        (directory / "data" / "meta.properties").touch()
        KafkaNode(directory=directory, jars=tmp_path, port=port, controller_port=port + 1).prepare()
        return (directory / "server.properties").read_text()

    assert settings(20_000).replace("20000", "21000").replace("20001", "21001") == settings(21_000)


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    phony = re.findall(r"^\.PHONY: (.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^  make (\S+)", listed, re.MULTILINE)) == set(" ".join(phony).split())
