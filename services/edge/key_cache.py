"""Proven keys in memory, and refused ones for a short while: bounded, and emptied by what the control topic says.

Tokens are not kept: an entry lives under a keyed hash of the token, whose key is made anew by every process.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from schemas.control import ControlRecord
from services.edge.caller import Caller

Clock = Callable[[], float]
UNHEARD_TTL_S = 1.0
"""How long what is in memory counts while the control topic is not heard: then Postgres is asked, which knows every change."""


@dataclass(frozen=True, slots=True)
class _Entry:
    caller: Caller | None
    kept_at_s: float
    fresh_until_s: float


class KeyCache:
    """Token → caller, or None for a token that was refused. `generation` grows with every invalidation."""

    def __init__(
        self, *, capacity: int = 10_000, ttl_s: float = 30.0, refused_ttl_s: float = 10.0, clock: Clock = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._ttl_s = ttl_s
        self._refused_ttl_s = refused_ttl_s
        self._clock = clock
        self._seed = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, _Entry] = OrderedDict()
        # Refused tokens have their own room, so that a flood of wrong keys never drives out the right ones.
        self._refused: OrderedDict[bytes, _Entry] = OrderedDict()
        self.generation = 0
        self.hearing = True

    def __len__(self) -> int:
        return len(self._proven) + len(self._refused)

    def handle(self, token: str) -> bytes:
        """The name under which a token is kept."""
        return hashlib.blake2b(token.encode("latin-1"), digest_size=16, key=self._seed).digest()

    def find(self, handle: bytes) -> tuple[bool, Caller | None]:
        """(known, caller): known is False where Postgres must be asked; a known None is a refused token."""
        entry = self._proven.get(handle) or self._refused.get(handle)
        if entry is None:
            return False, None
        now_s = self._clock()
        if entry.fresh_until_s < now_s or (not self.hearing and entry.kept_at_s + UNHEARD_TTL_S < now_s):
            return False, None
        return True, entry.caller

    def listen(self, hearing: bool) -> None:
        """Whether changes are heard of: what is in memory counts for long only then."""
        self.hearing = hearing

    def keep(self, handle: bytes, caller: Caller | None, generation: int) -> bool:
        """Keep what Postgres said, unless something was invalidated since `generation` was read: then ask again."""
        if generation != self.generation:
            return False
        room, ttl_s = (self._proven, self._ttl_s) if caller is not None else (self._refused, self._refused_ttl_s)
        now_s = self._clock()
        room[handle] = _Entry(caller, now_s, now_s + ttl_s)
        room.move_to_end(handle)
        if len(room) > self._capacity:
            room.popitem(last=False)
        return True

    def invalidate(self, record: ControlRecord) -> None:
        """Forget every key that the record may concern."""
        if record.kind not in ("account", "project", "key"):
            return
        self.generation += 1
        stale = [
            handle for handle, entry in self._proven.items() if entry.caller is not None and _concerns(record, entry.caller)
        ]
        for handle in stale:
            del self._proven[handle]


def _concerns(record: ControlRecord, caller: Caller) -> bool:
    owned = {"account": caller.account_id, "project": caller.key.project_id, "key": caller.key.key_id}
    return owned.get(record.kind) == record.entity_id
