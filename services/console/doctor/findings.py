"""What a check came to. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skip"]
WORST: tuple[Status, ...] = ("fail", "warn", "ok", "skip")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report: `todo` says how to mend it, and is empty where nothing is to be done."""

    check: str
    status: Status
    why: str
    todo: str = ""


def ok(check: str, why: str) -> Finding:
    """As it should be."""
    return Finding(check=check, status="ok", why=why)


def warn(check: str, why: str, todo: str) -> Finding:
    """It works, and should not stay so."""
    return Finding(check=check, status="warn", why=why, todo=todo)


def fail(check: str, why: str, todo: str) -> Finding:
    """Requests are refused, money or records are at risk, or nobody can tell."""
    return Finding(check=check, status="fail", why=why, todo=todo)


def skip(check: str, why: str, todo: str = "") -> Finding:
    """Not looked at."""
    return Finding(check=check, status="skip", why=why, todo=todo)


def or_ok(check: str, found: Sequence[Finding], why: str) -> list[Finding]:
    """What was found, or that nothing was."""
    return list(found) or [ok(check, why)]


def count(findings: Iterable[Finding]) -> dict[Status, int]:
    """How many there are of each."""
    listed = [finding.status for finding in findings]
    return {status: listed.count(status) for status in WORST}


def names(items: Iterable[str], most: int = 5) -> str:
    """The first of them, and how many more there are."""
    listed = list(items)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
