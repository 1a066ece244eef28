"""An audit that could not read every published checkpoint does not call the seal sound."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from services.settlement.audit.audit_store import AuditOrder
from services.settlement.audit.auditor import Auditor
from services.settlement.audit.topic_reader import topic_reader
from services.settlement.ledger_check import SealPromises
from services.settlement.seal_check import Published
from tests.integration.settlement.ledger import Ledger, running_ledger


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    """A ledger with one payment."""
    with running_ledger(database_url) as running:
        running.top_up("a", "credit", "10")
        yield running


def audited(ledger: Ledger, seal: SealPromises) -> dict[str, Any]:
    """A quick audit's result: it reads no topic."""
    topics = partial(topic_reader, "127.0.0.1:1")
    auditor = Auditor(ledger.connection, ledger.connection, topics, patience_s=0, seal=seal, progress=lambda _: None)
    return asyncio.run(auditor.run(AuditOrder(quick=True)))


def test_a_seal_that_was_compared_with_itself_alone_is_not_said_to_be_sound(ledger: Ledger) -> None:
    whole = audited(ledger, SealPromises())
    assert (whole["ok"], whole["uncompared"]) == (True, [])
    partly = audited(ledger, SealPromises(all_read=False))
    assert (partly["ok"], partly["uncompared"]) == (False, ["I11"])
    [seal] = [line for line in partly["invariants"] if line["name"] == "I11"]
    assert seal["ok"] is None
    assert "Kafka does not answer" in seal["skipped"]
    assert all(line["ok"] for line in partly["invariants"] if line["name"] not in {"I11", "I12", "I14"})


def test_a_violated_seal_is_one_whatever_could_not_be_read(ledger: Ledger) -> None:
    outside = [Published("file", 1, "no note")]
    partly = audited(ledger, SealPromises(outside=outside, all_read=False))
    assert (partly["ok"], partly["uncompared"]) == (False, [])
    assert [line["name"] for line in partly["invariants"] if line["ok"] is False] == ["I11"]
