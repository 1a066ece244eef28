"""ClickHouse's HTTP interface over this process's embedded engine: what a server answers, where no server is installed.

Only what clickhouse-connect asks for: queries, commands, and inserts in the Native format.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

END_OF_INSERT = b"FORMAT Native\n"
BROKEN = b"Code: 999. DB::Exception: Session expired. (KEEPER_EXCEPTION)"
SETTINGS = (
    "insert_deduplication_token",
    "insert_deduplicate",
    "optimize_on_insert",
    "max_partitions_per_insert_block",
    "min_insert_block_size_rows",
    "min_insert_block_size_bytes",
    "max_insert_threads",
    "max_query_size",
    "max_result_rows",
)
"""Those of the client's that are heeded."""


class Handler(BaseHTTPRequestHandler):
    """One call at a time, as an embedded engine's handle wants it."""

    engine: Any
    lock: Lock
    stopped: Event
    broken: Event
    """While it is set, every answer is an error."""
    before_insert: Callable[[], None]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """A ping."""
        self._answer(*((500, BROKEN) if self.broken.is_set() else (200, b"Ok.\n")), {})

    def do_POST(self) -> None:
        """A query, a command or an insert."""
        if self.stopped.is_set():
            # A server that has ended answers nothing on connections that were kept.
            self.close_connection = True
            return
        url = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        sql, separator, block = self._body().partition(END_OF_INSERT)
        if self.broken.is_set():
            self._answer(500, BROKEN, {"X-ClickHouse-Exception-Code": "999"})
            return
        try:
            with self.lock:
                text = sql.decode() or url["query"]
                answer = self._run(url, lambda: self._insert(text, block) if separator else self._query(text, url))
        except Exception as error:  # noqa: BLE001 - whatever the engine says is the answer
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": "1000"})
        else:
            kind = "Native" if b"FORMAT Native" in sql else "TabSeparated"
            self._answer(200, answer, {"X-ClickHouse-Format": kind} if answer else {})

    def _run(self, url: dict[str, str], ask: Callable[[], bytes]) -> bytes:
        """Ask in the call's database, under its settings."""
        self.engine.query(f"USE {url.get('database', 'default')}")
        told = [name for name in SETTINGS if name in url]
        for name in told:
            self.engine.query(f"SET {name} = '{url[name]}'")
        try:
            return ask()
        finally:
            for name in told:
                self.engine.query(f"SET {name} = DEFAULT")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _query(self, sql: str, url: dict[str, str]) -> bytes:
        parameters = {name.removeprefix("param_"): value for name, value in url.items() if name.startswith("param_")}
        if sql.lstrip().startswith("INSERT"):
            self.before_insert()
        answer: bytes = self.engine.query(sql, "TabSeparated", params=parameters).bytes() or b""
        return answer

    def _insert(self, sql: str, block: bytes) -> bytes:
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(block)
            file.flush()
            self.before_insert()
            self.engine.query(f"{sql} FROM INFILE '{file.name}' FORMAT Native")
        return b""

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        with suppress(ConnectionError):
            self._write(status, body, headers)

    def _write(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "X-ClickHouse-Timezone": "UTC", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _nothing() -> None:
    """No insert is waited for."""


@contextmanager
def serving(
    engine_path: Path, port: int, *, broken: Event | None = None, before_insert: Callable[[], None] = _nothing
) -> Iterator[None]:
    """A server on the port, over the embedded engine at the path, within the block."""
    engine = chdb.connect(str(engine_path))
    stopped = Event()
    given = {"engine": engine, "lock": Lock(), "stopped": stopped, "broken": broken or Event()}
    handler = type("EngineHandler", (Handler,), {**given, "before_insert": staticmethod(before_insert)})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
        engine.close()
