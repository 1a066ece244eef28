"""Remembers a creating call until its answer is there, so that the same command after a cut asks under the same key.

Each call that creates has a key of its own. It is written down, with the body, before the call, and forgotten when the service
has answered. Where the command was cut in between (a lost connection, a closed terminal), whoever runs the same command again
asks the same thing under the same key, and what was created before is shown instead of being created twice.
"""

import fcntl
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from services.console.errors import BadFileError

KEPT_S = 20 * 3600
"""Services remember the keys of creating calls for a day."""


@dataclass(kw_only=True)
class Order:
    """A creating call: its key and body. `done` says that the service has answered, whatever it said."""

    key: str
    body: dict[str, Any]
    again: bool
    done: bool = False


class Pending:
    """The orders under way, one file each, in a folder of their own."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock

    @contextmanager
    def order(self, asked: Any, body: dict[str, Any], key: str | None = None) -> Iterator[Order]:
        """The order of a command: a cut one's, or a new one. `asked` is what the command was told, where it goes included.

        A key that the caller gave needs no memory: the caller has it. The same command running at the same time is another
        order: two that run side by side mean to create two.
        """
        if key is not None:
            yield Order(key=key, body=body, again=False)
            return
        name = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:40]
        with self._locked(name) as file:
            if file is None:
                yield Order(key=new_key(), body=body, again=False)
                return
            order = self._found(file) or Order(key=new_key(), body=body, again=False)
            _write(file, {"key": order.key, "body": order.body, "at": self._clock()})
            try:
                yield order
            finally:
                if order.done:
                    file.truncate(0)
                    (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[IO[str] | None]:
        """The order's file, None while another process has it."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._forget_old()
            path = self._folder / name
            path.touch(mode=0o600)
            file = path.open("r+", encoding="utf-8")
        except OSError as error:
            raise BadFileError(
                f"{self._folder} cannot be written ({error.strerror}): give an --idempotency-key of your own"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield None
            else:
                yield file

    def _forget_old(self) -> None:
        """Remove what no service remembers any more: of commands that were cut and never run again."""
        for file in self._folder.iterdir():
            if file.stat().st_mtime < self._clock() - 2 * KEPT_S:
                file.unlink(missing_ok=True)

    def _found(self, file: IO[str]) -> Order | None:
        try:
            said = json.loads(file.read())
            if self._clock() - said["at"] > KEPT_S:
                return None
            return Order(key=said["key"], body=said["body"], again=True)
        except (ValueError, KeyError, TypeError):
            return None


def new_key() -> str:
    """A key that nobody else has."""
    return f"cli-{uuid.uuid4()}"


def _write(file: IO[str], said: dict[str, Any]) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(said))
    file.flush()
