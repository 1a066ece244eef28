"""Finds what a person means by a name or an id."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from services.console.errors import NotOneError, RefusedError
from services.console.paging import listed, rows
from services.console.route_commands import key_id_of
from services.console.service_client import ServiceClient
from services.console.session import Session

SHOWN = 5
NOT_FOUND = 404


@dataclass(frozen=True)
class Kind:
    """What edge keeps: how its lists are called, which field is its id, and what an id looks like."""

    word: str
    path: str
    id_field: str
    form: re.Pattern[str]
    certain: bool = True
    """Whether nothing but an id looks like one."""


ACCOUNT = Kind("account", "/admin/accounts", "account_id", re.compile(r"acc_[0-9A-Za-z]{16}", re.ASCII))
PROJECT = Kind("project", "/admin/projects", "project_id", re.compile(r"prj_[0-9A-Za-z]{16}", re.ASCII))
USER = Kind("user", "/admin/users", "user_id", re.compile(r"usr_[0-9A-Za-z]{16}", re.ASCII))
KEY = Kind("key", "/admin/keys", "key_id", re.compile(r"[0-9A-Za-z]{12}", re.ASCII), certain=False)


def path_of(kind: Kind, entity_id: str, *more: str) -> str:
    """The URL path of one entity, and of what lies below it."""
    return "/".join((kind.path, quote(entity_id, safe=""), *more))


def id_of(edge: ServiceClient, kind: Kind, text: str, **within: Any) -> str:
    """The id of what the text names. An id of an unmistakable form is taken for one without asking.

    Raises NotOneError for a name that nothing has, or several.
    """
    if kind is KEY:
        text = key_id_of(text)
    if kind.form.fullmatch(text) and (kind.certain or _exists(edge, kind, text)):
        return text
    named = [row for row in rows(edge, kind.path, **within) if text in {row["name"], row[kind.id_field]}]
    return str(_only(named, kind, text)[kind.id_field])


def known_id_of(edge: ServiceClient, kind: Kind, text: str) -> str:
    """The same for where nothing else would notice an id that there is not: it is asked for. Raises NotOneError."""
    found = id_of(edge, kind, text)
    if kind.certain and found == text and not _exists(edge, kind, found):
        _only([], kind, text)
    return found


def account_of(session: Session, edge: ServiceClient, text: str | None) -> str:
    """The account that a command is about: the named one, that of the profile, or the only one that there is.

    Raises NotOneError where it is not clear.
    """
    said = text or session.account()
    if said:
        return id_of(edge, ACCOUNT, said)
    found = listed(edge, ACCOUNT.path, limit=2)["data"]
    if len(found) != 1:
        many = "there is none yet: `tollbook accounts create NAME` makes one" if not found else "there are several"
        hint = ": give --account, by id or name (`tollbook accounts list`)" if found else ""
        raise NotOneError(f"which account is meant is not clear, {many}{hint}")
    return str(found[0]["account_id"])


def _exists(edge: ServiceClient, kind: Kind, entity_id: str) -> bool:
    try:
        edge.get(path_of(kind, entity_id))
    except RefusedError as error:
        if error.status == NOT_FOUND:
            return False
        raise
    return True


def _only(found: Iterable[dict[str, Any]], kind: Kind, text: str) -> dict[str, Any]:
    named = list(found)
    if not named:
        raise NotOneError(f"there is no {kind.word} {text!r}: `tollbook {kind.word}s list` shows those that there are")
    if len(named) > 1:
        ids = ", ".join(str(row[kind.id_field]) for row in named[:SHOWN])
        more = "" if len(named) <= SHOWN else f" and {len(named) - SHOWN} more"
        raise NotOneError(f"several {kind.word}s are called {text!r}, give an id: {ids}{more}")
    return named[0]
