"""Tokens, freezes and the bound of the ingress table."""

import pytest
from pydantic import ValidationError

from schemas.control import ControlRecord
from services.settlement.control import Frozen
from services.settlement.errors import UnauthorizedError, UnavailableError
from services.settlement.http_edges import Tokens
from services.settlement.ingress import IngressGate
from services.settlement.refusals import Stop


def control(kind: str, entity: str, version: int, **state: bool | str) -> ControlRecord:
    return ControlRecord.model_validate({"kind": kind, "entity_id": entity, "version": version, **state})


def code_of(frozen: Frozen) -> str | None:
    """The refusal code of account a, project p, key k."""
    stop = frozen.stop("a", "p", "k")
    return None if stop is None else stop.code


def test_the_alert_that_froze_is_known_until_it_is_unfrozen_and_nobody_reads_it_of_a_revoked_key() -> None:
    frozen, why = Frozen(), "rule runaway, alert 0199: 400,000 tokens/min exceeded 200,000"
    frozen.apply(control("key", "k", 1, frozen=True, reason=why))
    assert frozen.stop("a", "p", "k") == Stop("key_frozen", why)
    frozen.apply(control("key", "k", 2))
    frozen.apply(control("key", "k", 3, frozen=True))
    assert frozen.stop("a", "p", "k") == Stop("key_frozen", None)
    frozen.apply(control("key", "k", 4, frozen=True, revoked=True, reason=why))
    assert frozen.stop("a", "p", "k") == Stop("key_frozen", None)


def test_the_widest_freeze_is_named() -> None:
    frozen = Frozen()
    frozen.apply(control("key", "k", 1, frozen=True))
    assert code_of(frozen) == "key_frozen"
    frozen.apply(control("account", "a", 1, frozen=True))
    assert code_of(frozen) == "account_frozen"
    assert frozen.stop("b", "p", "other") is None


def test_a_revoked_key_gets_no_holds_either() -> None:
    frozen = Frozen()
    frozen.apply(control("key", "k", 1, revoked=True))
    assert code_of(frozen) == "key_frozen"


def test_an_older_version_changes_nothing() -> None:
    frozen = Frozen()
    frozen.apply(control("key", "k", 5, frozen=True))
    frozen.apply(control("key", "k", 4))
    assert code_of(frozen) == "key_frozen"
    frozen.apply(control("key", "k", 6))
    assert code_of(frozen) is None


@pytest.mark.parametrize("version", [-1, 2**63])
def test_a_record_with_a_version_that_no_database_has_is_none(version: int) -> None:
    assert control("key", "k", 2**63 - 1).version == 2**63 - 1
    with pytest.raises(ValidationError):
        control("key", "k", version, frozen=True)


def test_other_kinds_freeze_nobody() -> None:
    frozen = Frozen()
    frozen.apply(control("limit", "k", 1, frozen=True))
    assert frozen.stop("k", "k", "k") is None


@pytest.mark.parametrize("given", [None, b"", b"Bearer", b"Bearer ", b"Bearer x", b"token", b"bearer token"])
def test_only_a_set_token_opens(given: bytes | None) -> None:
    Tokens(["", "token"]).check(b"Bearer token")
    with pytest.raises(UnauthorizedError):
        Tokens(["", "token"]).check(given)
    with pytest.raises(UnauthorizedError):
        Tokens([""]).check(given)


@pytest.mark.parametrize(("rows", "age", "shut"), [(0, 999, False), (5, 1, False), (11, 0, True), (1, 61, True)])
def test_holds_stop_when_too_much_waits_or_too_long(rows: int, age: float, shut: bool) -> None:
    gate = IngressGate(max_age_seconds=60, max_rows=10)
    gate.saw(rows, age)
    if not shut:
        gate.check()
        return
    with pytest.raises(UnavailableError) as refused:
        gate.check()
    assert refused.value.code == "log_unavailable"
