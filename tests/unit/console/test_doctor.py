"""Each check of `tollbook doctor` sees what it is for, says what to do, and is content with what is right."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import topics
from services.console.doctor import engine_verdicts as engines
from services.console.doctor import service_verdicts as services
from services.console.doctor.command import _made
from services.console.doctor.engine_verdicts import GIB, Roles, TopicSeen
from services.console.doctor.findings import Finding, count, names
from services.console.errors import RefusedError

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OWN = {"version": "1.0", "contracts": "aaa"}
OTHER = {"version": "1.1", "contracts": "bbb"}
CHANNEL = {
    **{"id": "main", "out_of_service": False, "fault": None, "circuit": "closed", "keys": 2, "keys_resting": 0},
    "last_error_class": "unauthorized",
}
TABLE: dict[str, Any] = {
    "channels": [{"id": "main", "route_type": "direct"}, {"id": "pool", "route_type": "pooled"}],
    "models": [
        {"id": "m", "candidates": [{"channel": "main", "upstream_model": "u"}, {"channel": "pool", "upstream_model": "u"}]}
    ],
}
PRICED = {"prices": [{"route_type": "direct", "model": "u"}, {"route_type": "pooled", "model": "u"}]}
SETTINGS = {"server_version_num": "180004", "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
APART = Roles(existing=frozenset({"a", "b"}), crossing=(), rewriting=(), logins=frozenset({"a_login", "b_login"}))
BOOK = {"version": 3, "in_force_from": "2026-11-01T00:00:00Z", "in_force_until": None, "published_at": "2026-11-01T00:00:00Z"}
RIGHT = {
    name: TopicSeen(
        partitions=topic.partitions,
        replicas=1,
        settings={"retention.ms": str(topic.retention_ms), "cleanup.policy": topic.cleanup_policy, "retention.bytes": "-1"},
    )
    for name, topic in topics().items()
}
ATTEMPTS, CONTROL = "tollbook.attempts.v1", "tollbook.control.v1"


def seen(name: str, partitions: int | None = None, replicas: int = 1, **settings: str) -> dict[str, TopicSeen]:
    """The topics as they should be, but one."""
    right = RIGHT[name]
    changed = dict(right.settings) | {each.replace("_", "."): value for each, value in settings.items()}
    return RIGHT | {name: TopicSeen(partitions=partitions or right.partitions, replicas=replicas, settings=changed)}


def lag(**more: int) -> dict[str, Any]:
    """A reader that is up to date, but for what is said."""
    return {"partitions": [{"lag": more.pop("lag", 0)}], "outbox_pending": 0, "ingress_pending": 0, **more}


def roles(**more: Any) -> Roles:
    """Services that are kept apart, but for what is said."""
    return Roles(**{**vars_of(APART), **more})


def vars_of(found: Roles) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ("existing", "crossing", "rewriting", "logins")}


RIGHTS: dict[str, Callable[[], list[Finding]]] = {
    "versions": lambda: services.versions(OWN, {"edge": OWN, "router": OWN}),
    "clock": lambda: services.clock("edge", NOW + timedelta(seconds=1), NOW),
    "clock, asked slowly": lambda: services.clock("edge", NOW + timedelta(seconds=40), NOW, timedelta(seconds=39)),
    "lag": lambda: services.lag("settlement", lag(lag=999)),
    "channels": lambda: services.channels([CHANNEL]),
    "models": lambda: services.unserved(TABLE, [CHANNEL]),
    "prices": lambda: services.prices(TABLE, PRICED),
    "price book": lambda: services.price_book(BOOK, NOW),
    "sealed keys": lambda: services.sealed({"current_key_id": "k", "sealed": [{"key_id": "k", "secrets": 3}]}),
    "introspection": lambda: services.introspection({"router": 401, "settlement": 401}),
    "postgres": lambda: engines.postgres_settings(SETTINGS),
    "postgres, remote": lambda: engines.postgres_settings(SETTINGS | {"synchronous_commit": "remote_apply"}),
    "migrations": lambda: engines.migrations({"edge": ["1", "2"]}, {"edge": ["1", "2"]}),
    "roles": lambda: engines.roles(["a", "b"], APART),
    "kafka": lambda: engines.kafka_topics(topics(), RIGHT, 1),
    "disk": lambda: engines.disk(Path("data"), 50 * GIB),
    "java": lambda: engines.java('openjdk version "17.0.9" 2023-10-17'),
}
WRONGS: dict[str, tuple[Callable[[], list[Finding]], str, str]] = {
    "one is of another version": (lambda: services.versions(OWN, {"edge": OWN, "router": OTHER}), "fail", "different versions"),
    "all are of another": (lambda: services.versions(OWN, {"edge": OTHER, "router": OTHER}), "warn", "this command line"),
    "one does not say": (lambda: services.versions(OWN, {"edge": OWN, "router": {"ok": True}}), "warn", "router does not say"),
    "a clock is off": (lambda: services.clock("edge", NOW + timedelta(seconds=5), NOW), "warn", "edge's clock is 5.0 s"),
    "a clock is far off": (lambda: services.clock("edge", NOW - timedelta(hours=1), NOW), "fail", "3600.0 s"),
    "a reader is behind": (lambda: services.lag("analytics", lag(lag=1_001)), "warn", "1001 records"),
    "a reader is far behind": (lambda: services.lag("settlement", lag(lag=100_001)), "fail", "100001 records"),
    "Kafka is silent": (lambda: services.lag("settlement", {"partitions": [{"lag": None}]}), "fail", "cannot ask Kafka"),
    "the outbox waits": (lambda: services.lag("settlement", lag(outbox_pending=1_001)), "fail", "outbox_pending"),
    "the ingress waits": (lambda: services.lag("settlement", lag(ingress_pending=1_001)), "fail", "ingress_pending"),
    "a variable is not set": (
        lambda: services.channels([CHANNEL | {"out_of_service": True, "fault": "OPENAI_API_KEY is not set"}]),
        "fail",
        "OPENAI_API_KEY is not set",
    ),
    "one of two keys is broken": (lambda: services.channels([CHANNEL | {"fault": "does not open"}]), "warn", "does not open"),
    "a circuit is open": (lambda: services.channels([CHANNEL | {"circuit": "open"}]), "warn", "its circuit is open"),
    "a channel was taken out of use": (
        lambda: services.channels([CHANNEL | {"frozen": True, "freeze": {"author": "Ada", "reason": "prices"}}]),
        "warn",
        "taken out of use by Ada: prices",
    ),
    "a key rests": (lambda: services.channels([CHANNEL | {"keys_resting": 1}]), "warn", "1 of 2 keys"),
    "nobody can answer a model": (
        lambda: services.unserved(TABLE, [{"id": each, "out_of_service": True} for each in ("main", "pool")]),
        "fail",
        "nobody can answer m",
    ),
    "a route has no price": (
        lambda: services.prices(TABLE, {"prices": PRICED["prices"][:1]}),
        "warn",
        "without a price, and so never called: u on pooled",
    ),
    "a model has no price": (lambda: services.prices(TABLE, {"prices": []}), "fail", "no route of m has a price"),
    "the book ended": (
        lambda: services.price_book(BOOK | {"in_force_until": "2026-11-20T00:00:00Z"}, NOW), "fail", "until 2026-11-20",
    ),
    "the book is old": (
        lambda: services.price_book(BOOK | {"in_force_from": "2026-01-01T00:00:00Z"}, NOW), "warn", "328 days old",
    ),
    "a former key is needed": (
        lambda: services.sealed({"current_key_id": "k", "sealed": [{"key_id": "old", "secrets": 2}]}), "warn", "2 secrets",
    ),
    "edge cannot be asked": (lambda: services.introspection({"router": 401, "settlement": 503}), "fail", "settlement cannot"),
    "a wrong token opens": (lambda: services.introspection({"router": 200}), "fail", "router"),
    "Postgres is old": (lambda: engines.postgres_settings(SETTINGS | {"server_version_num": "160002"}), "fail", "version 16"),
    "fsync is off": (lambda: engines.postgres_settings(SETTINGS | {"fsync": "off"}), "fail", "fsync is off"),
    "full_page_writes is off": (
        lambda: engines.postgres_settings(SETTINGS | {"full_page_writes": "off"}), "fail", "full_page_writes is off",
    ),
    "commits are not waited for": (
        lambda: engines.postgres_settings(SETTINGS | {"synchronous_commit": "off"}), "fail", "synchronous_commit is off",
    ),
    "a migration is missing": (lambda: engines.migrations({"edge": ["1", "2"]}, {"edge": ["1"]}), "fail", "edge lacks 2"),
    "a service has no tables": (lambda: engines.migrations({"edge": ["1"]}, {"edge": None}), "fail", "edge lacks 1"),
    "a migration is unknown": (lambda: engines.migrations({"edge": ["1"]}, {"edge": ["1", "9"]}), "warn", "does not know: 9"),
    "a role is missing": (lambda: engines.roles(["a", "c"], APART), "warn", "no role c"),
    "a role crosses": (lambda: engines.roles(["a"], roles(crossing=(("a", "b"),))), "fail", "a may use b"),
    "postings can be rewritten": (lambda: engines.roles(["a"], roles(rewriting=("posting",))), "fail", "once: posting"),
    "all log in alike": (lambda: engines.roles(["a"], roles(logins=frozenset({"root"}))), "warn", "logs in as root"),
    "a topic is missing": (
        lambda: engines.kafka_topics(topics(), {n: t for n, t in RIGHT.items() if n != ATTEMPTS}, 1), "fail", ATTEMPTS,
    ),
    "a topic forgets": (
        lambda: engines.kafka_topics(topics(), seen(ATTEMPTS, retention_ms="604800000"), 1), "fail", "to be kept for ever",
    ),
    "a topic keeps so many bytes": (
        lambda: engines.kafka_topics(topics(), seen(ATTEMPTS, retention_bytes="1000"), 1), "fail", "keeps 1000 bytes",
    ),
    "the books are compacted": (
        lambda: engines.kafka_topics(topics(), seen(ATTEMPTS, cleanup_policy="compact"), 1), "fail", "books are lost",
    ),
    "control is not compacted": (
        lambda: engines.kafka_topics(topics(), seen(CONTROL, cleanup_policy="delete"), 1), "fail", "freezes and limits",
    ),
    "a topic has other partitions": (
        lambda: engines.kafka_topics(topics(), seen(ATTEMPTS, partitions=9), 1), "fail", "9 partitions, not 4",
    ),
    "there are too few copies": (lambda: engines.kafka_topics(topics(), RIGHT, 3), "warn", "too few copies on 3 brokers"),
    "the disk fills up": (lambda: engines.disk(Path("data"), 4 * GIB), "warn", "4.0 GiB"),
    "the disk is full": (lambda: engines.disk(Path("data"), GIB // 2), "fail", "0.5 GiB"),
    "Java is old": (lambda: engines.java('java version "1.8.0_381"'), "fail", "version 8"),
    "there is no Java": (lambda: engines.java(None), "fail", "no `java` here"),
    "Java does not say": (lambda: engines.java("?"), "warn", "does not say"),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHTS)
def test_what_is_right_is_not_complained_of(name: str) -> None:
    assert {finding.status for finding in RIGHTS[name]()} <= {"ok"}


@pytest.mark.parametrize("name", WRONGS)
def test_what_is_wrong_is_said_with_what_to_do(name: str) -> None:
    check, status, said = WRONGS[name]
    [finding] = check()
    assert (finding.status, said in finding.why) == (status, True), finding
    assert finding.todo


def test_findings_are_counted_and_long_lists_are_cut() -> None:
    found = [finding for check, *_ in WRONGS.values() for finding in check()]
    counts = count(found)
    assert (counts["ok"], counts["skip"], counts["fail"] + counts["warn"]) == (0, 0, len(WRONGS))
    assert names("abcdefg") == "a, b, c, d, e and 2 more"
    assert names("ab") == "a, b"


def test_what_a_role_may_not_see_is_not_looked_at_and_nothing_failed() -> None:
    def refused(status: int) -> list[Finding]:
        raise RefusedError("this needs ledger.read", status=status)

    assert [each.status for each in _made("lag", lambda: refused(403))] == ["skip"]
    assert "operator or on-call" in _made("lag", lambda: refused(403))[0].why
    assert [each.status for each in _made("lag", lambda: refused(500))] == ["fail"]
