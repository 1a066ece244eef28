"""Another gateway beside ours: LiteLLM's proxy, in an environment of its own, on the same upstream."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from tests.bench.errors import BenchError
from tests.bench.stack import bench_directory
from tests.bench.target import Target

REQUIREMENTS = Path(__file__).with_name("peers-requirements.txt")
INSTALL_S_MAX = 900
START_S_MAX = 180
STOP_S_MAX = 15
CHANNEL = "litellm"
_KEY = "sk-bench-litellm"

OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_DOCS": "True",
    "DISABLE_ADMIN_UI": "True",
}
"""Prices from its own package and no documentation pages: it reaches for nothing but the upstream."""


@contextmanager
def litellm(provider_url: str) -> Iterator[Target]:
    """LiteLLM's proxy as a target: one worker, a master key, no database, no callbacks. Ends with the block."""
    home = bench_directory() / "peers"
    binary = _installed(home) / "bin" / "litellm"
    port = _free_port()
    config = home / "litellm.json"
    config.write_bytes(orjson.dumps(_config(provider_url)))
    command = [str(binary), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | OFFLINE
    with (
        (home / "litellm.log").open("wb") as log,
        subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_alive(process, port, home / "litellm.log")
            yield Target("litellm", f"http://127.0.0.1:{port}/v1", _KEY, {"litellm": process.pid})
        finally:
            _stop(process)


def versions() -> dict[str, str]:
    """The pinned peers."""
    pins = [line for line in REQUIREMENTS.read_text().splitlines() if "==" in line and not line.startswith("#")]
    return {name: pin for name, _, pin in (line.partition("==") for line in pins)}


def _config(provider_url: str) -> dict[str, object]:
    # LiteLLM does not pass a client's metadata on. So the channel always wants more than the cap, and the cap, which the
    # bodies set to the tokens wanted, decides: the replies have the same lengths as without a gateway.
    script = {"metadata": {"sim_output_tokens": "100000"}}
    upstream = {"model": "openai/gpt-4o-mini", "api_base": f"{provider_url}/{CHANNEL}/v1", "api_key": "sk-any"}
    return {
        "model_list": [{"model_name": "gpt-4o-mini", "litellm_params": {**upstream, "extra_body": script}}],
        "litellm_settings": {"telemetry": False, "request_timeout": 60},
        "general_settings": {"master_key": _KEY},
    }


def _installed(home: Path) -> Path:
    """The environment with the pinned peers, made or renewed where it is not there."""
    venv, marker = home / "venv", home / "installed.txt"
    wanted = REQUIREMENTS.read_text()
    if marker.exists() and marker.read_text() == wanted:
        return venv
    home.mkdir(parents=True, exist_ok=True)
    sys.stderr.write("installing the peers into .bench/peers/venv: some minutes\n")
    _checked([sys.executable, "-m", "venv", str(venv)])
    _checked([str(venv / "bin" / "pip"), "install", "--quiet", "--requirement", str(REQUIREMENTS)])
    marker.write_text(wanted)
    return venv


def _checked(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed:\n{done.stderr}")


def _wait_alive(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_S_MAX
    while not _alive(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"LiteLLM did not start:\n{log.read_text(errors='replace')[-2_000:]}")
        time.sleep(0.5)


def _alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=2) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
