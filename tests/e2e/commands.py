"""Runs commands of `tollbook` in this process, against the running stack: the same code as the program's, without its start."""

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from services.console.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


class Commands:
    """The command line with settings of its own; nobody is there to answer questions."""

    def __init__(self, stack_home: Path | None, settings: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOLLBOOK_")}
        home = {} if stack_home is None else {"TOLLBOOK_HOME": str(stack_home)}
        self._variables = kept | home | {"TOLLBOOK_CONFIG_DIR": str(settings), "COLUMNS": "400", "USER": "tester"}

    def __call__(self, *arguments: str, stdin: str = "", variables: Mapping[str, str] | None = None) -> Ran:
        out, err, code = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True), io.StringIO(), 0
        environment = self._variables | dict(variables or {})
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch("sys.stdin", io.StringIO(stdin)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main(arguments)
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        out.flush()
        raw = out.buffer
        assert isinstance(raw, io.BytesIO)
        return Ran(code, raw.getvalue(), err.getvalue())


def until(condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


@contextmanager
def cutting(url: str) -> Iterator[tuple[str, list[bool]]]:
    """A way to the service that loses the answer to a POST, once it is there, for as long as the list holds True."""
    target = urlsplit(url)
    cuts = [True]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    client, _ = server.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=_carry, args=(client, target.hostname, target.port, cuts), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", cuts
        finally:
            ended.set()
            thread.join()


def _carry(client: socket.socket, host: str, port: int, cuts: list[bool]) -> None:
    """Carry the connection's calls there and their answers back; an answer that is to be lost ends the connection."""
    with client, socket.create_connection((host, port)) as service:
        asked: list[bytes] = []

        def answer() -> None:
            with suppress(OSError):
                while said := service.recv(65536):
                    if cuts and asked[0].startswith(b"POST"):
                        break
                    client.sendall(said)
                client.shutdown(socket.SHUT_RDWR)

        back = threading.Thread(target=answer, daemon=True)
        back.start()
        with suppress(OSError):
            while said := client.recv(65536):
                asked.append(said)
                service.sendall(said)
            service.shutdown(socket.SHUT_RDWR)
        back.join()
