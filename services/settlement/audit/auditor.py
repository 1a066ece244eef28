"""One audit from its order to its result: the invariants, each with its verdict, and what a rebuilding found."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
from psycopg.rows import TupleRow

from services.settlement.audit.audit_store import AuditOrder, Loaded
from services.settlement.audit.clickhouse_counts import unequal_counts
from services.settlement.audit.rebuild import Rebuild, violations
from services.settlement.audit.shadow import Shadow
from services.settlement.audit.topic_reader import TopicReader
from services.settlement.ledger_check import SEAL, SHOWN, Finding, SealPromises, check

Connection = psycopg.Connection[TupleRow]
I12, I14 = "I12", "I14"
RULES = {
    I12: "distinct event ids in ClickHouse = in each topic",
    I14: "built again from the topics, every balance is the same to the last unit",
}

UNCOMPARED = "not compared with the checkpoints on the topic: Kafka does not answer"


class Auditor:
    """Does audits. `connection` and `beside` are two connections that nothing else uses."""

    def __init__(
        self,
        connection: Connection,
        beside: Connection,
        read_topics: Callable[[], AbstractAsyncContextManager[TopicReader]],
        *,
        patience_s: float,
        seal: SealPromises,
        progress: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._beside = beside
        self._read_topics = read_topics
        self._patience_s = patience_s
        self._seal = seal
        self._progress = progress

    async def run(self, order: AuditOrder) -> dict[str, Any]:
        """The result: `ok`, the findings of the invariants that were asked for, and the report of a rebuilding."""
        findings: list[Finding] = []
        if order.kind == "check":
            self._progress("asking the ledger's invariants")
            findings = check(self._connection, patience_s=self._patience_s, seal=self._seal)
        skipped: dict[str, str] = {}
        if order.quick:
            skipped = {I12: "not asked for", I14: "not asked for"}
            return self._result(findings, skipped, None)
        Shadow(self._connection).make()
        async with self._read_topics() as reader:
            if order.loaded is not None:
                findings.append(await self._clickhouse(reader, order.loaded))
            elif order.kind == "check":
                skipped[I12] = "nobody said what ClickHouse has"
            rebuild = Rebuild(self._connection, self._beside, reader, self._progress)
            await rebuild.read()
        report = rebuild.compare()
        found = violations(report)
        findings.append(Finding(I14, RULES[I14], found, _first(report)))
        return self._result(findings, skipped, report)

    def _result(self, findings: list[Finding], skipped: dict[str, str], report: dict[str, Any] | None) -> dict[str, Any]:
        """A seal that was compared with itself alone is not sound: nobody knows, and so the whole is not `ok`."""
        uncompared = {each.name for each in findings if each.name == SEAL and each.ok and not self._seal.all_read}
        return result(findings, skipped, report, uncompared)

    async def _clickhouse(self, reader: TopicReader, loaded: Mapping[str, Loaded]) -> Finding:
        wrong = await unequal_counts(Shadow(self._beside), reader, loaded, self._progress)
        return Finding(I12, RULES[I12], len(wrong), wrong[:SHOWN])


def result(
    findings: list[Finding], skipped: dict[str, str], report: dict[str, Any] | None, uncompared: Collection[str] = ()
) -> dict[str, Any]:
    """What an audit came to. `uncompared` names invariants of which no violation was found, and not all was asked."""
    asked: list[dict[str, Any]] = [
        {"name": each.name, "rule": each.rule, "ok": each.ok, "violations": each.violations, "first": _texts(each.first)}
        for each in findings
        if each.name not in uncompared
    ]
    not_asked = [{"name": name, "rule": RULES[name], "ok": None, "skipped": why} for name, why in skipped.items()]
    unsure = [
        {"name": each.name, "rule": each.rule, "ok": None, "skipped": UNCOMPARED}
        for each in findings
        if each.name in uncompared
    ]
    every: list[dict[str, Any]] = [*asked, *unsure, *not_asked]
    ordered = sorted(every, key=lambda each: int(each["name"][1:]))
    sound = all(each.ok for each in findings) and not uncompared
    return {"ok": sound, "uncompared": sorted(uncompared), "invariants": ordered, "rebuild": report}


def _first(report: dict[str, Any]) -> list[dict[str, Any]]:
    differing = [row for part in report["differences"].values() for row in part["first"]]
    said = [{"kind": kind, "what": what} for kind, part in report["findings"].items() for what in part["first"]]
    return [*said, *differing][:SHOWN]


def _texts(rows: list[dict[str, object]]) -> list[dict[str, Any]]:
    return [{name: value if isinstance(value, int | str | list) else str(value) for name, value in row.items()} for row in rows]
