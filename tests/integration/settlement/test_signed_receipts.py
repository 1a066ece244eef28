"""A signed receipt proves itself with the public key alone, and no receipt that says anything else does."""

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from typer.testing import CliRunner

from schemas.envelope import new_id, now
from schemas.money import Usage
from schemas.notes import SigningKey
from schemas.signed_receipts import seal_file
from services.console.cli import app as console
from services.console.receipt_check import Verdict, check_receipt
from services.settlement.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from services.settlement.signed_receipt import ReceiptSigner
from tests.integration.settlement.ledger import Ledger
from tests.integration.settlement.requests_made import KEY as CLIENT
from tests.integration.settlement.requests_made import attempt_on, candidate, completion, hold_for
from tests.integration.settlement.sealing import KEY, KEYS, seal_all

OVERRUN = Usage(input_tokens=374, cached_input_tokens=10, cache_write_tokens=5, output_tokens=900)
TIMES = "\N{MULTIPLICATION SIGN}"
Change = Callable[[dict[str, Any]], object]


def signed(ledger: Ledger, request_id: UUID, account: str = "a") -> bytes:
    """The file as a customer gets it."""
    return ReceiptSigner(KEY, ledger.books).signed(ledger.connection, account, request_id)


def settled(ledger: Ledger, account: str = "a", usage: Usage | None = None, **fields: Any) -> UUID:
    """A request that was answered, at a cost to the operator too."""
    hold = hold_for(account, **fields)
    ledger.held(hold)
    cost: dict[str, Any] = {"operator_cost_nano": 876_543_219, "operator_cost_currency": "USD"}
    if usage:
        cost["usage"] = usage
    ledger.complete(completion(hold, attempts=[attempt_on(hold, **cost)]))
    return hold.request_id


def released(ledger: Ledger) -> UUID:
    """A request that failed."""
    hold = hold_for("a")
    ledger.held(hold)
    ledger.complete(completion(hold, attempts=[attempt_on(hold, outcome="failed")], charged=None))
    return hold.request_id


def crossed(ledger: Ledger) -> UUID:
    """A request whose second hold, in the other bucket, was charged."""
    first = hold_for("a")
    second = hold_for("a", request_id=first.request_id, candidates=[candidate("pooled", channel="pool-a")])
    ledger.hold(first, second)
    attempts = [attempt_on(first, outcome="failed"), attempt_on(second, 2)]
    ledger.complete(completion(first, attempts=attempts, charged=2, hold_ids=[first.hold_id, second.hold_id]))
    return first.request_id


def expired(ledger: Ledger, *, late: bool) -> UUID:
    """A request that did not end in time, and whose usage came later all the same."""
    hold = hold_for("a", deadline_at=now() - timedelta(minutes=9))
    ledger.held(hold)
    ledger.connection.execute("update hold set progress_input = 300, progress_output = 7 where id = %s", [hold.hold_id])
    assert ledger.expire(hold.hold_id) == 1
    if late:
        ledger.complete(completion(hold))
    return hold.request_id


def refunded(ledger: Ledger) -> UUID:
    """A charge that was given back in two parts."""
    request_id = settled(ledger)
    ledger.refund("a", request_id, "0.0001")
    ledger.refund("a", request_id)
    return request_id


def with_failures(ledger: Ledger) -> UUID:
    """A request whose failed attempt is charged beside the one that answered."""
    hold = hold_for("a", attempts=2)
    ledger.held(hold)
    failed = attempt_on(hold, outcome="failed", error_class="upstream_error", usage=Usage(input_tokens=5, output_tokens=1))
    ledger.complete(completion(hold, attempts=[failed, attempt_on(hold, 2)], charged=2, also_charged=[1]))
    return hold.request_id


def in_a_run(ledger: Ledger) -> UUID:
    """A request that a run's reserve paid."""
    run = ledger.open_run("a", CLIENT, {"credit": "4"})
    return settled(ledger, run_id=run)


def overrun(ledger: Ledger) -> UUID:
    """More than was held, and more than the bucket had."""
    ledger.top_up("poor", "credit", "0.003")
    return settled(ledger, "poor", OVERRUN, max_output_tokens=50)


STORIES: dict[str, Callable[[Ledger], UUID]] = {
    "settled": settled,
    "released": released,
    "crossed": crossed,
    "expired": lambda ledger: expired(ledger, late=False),
    "late": lambda ledger: expired(ledger, late=True),
    "refunded": refunded,
    "run": in_a_run,
    "free": lambda ledger: settled(ledger, usage=Usage()),
    "failures charged": with_failures,
    "above the hold": lambda ledger: settled(ledger, usage=OVERRUN),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_receipt_of_every_kind_proves_itself(funded: Ledger, story: str) -> None:
    request_id = STORIES[story](funded)
    settled(funded)
    seal_all(funded)
    verdict = check_receipt(signed(funded, request_id), KEYS)
    assert (verdict.outcome, verdict.problems) == ("valid", [])
    assert funded.receipt("a", request_id)["seal"]["status"] == "sealed"


def test_a_charge_that_the_balance_could_not_pay_proves_itself(ledger: Ledger) -> None:
    request_id = overrun(ledger)
    seal_all(ledger)
    assert check_receipt(signed(ledger, request_id, "poor"), KEYS).outcome == "valid"


def test_until_it_is_sealed_a_receipt_is_signed_and_says_so(funded: Ledger) -> None:
    request_id = settled(funded)
    assert check_receipt(signed(funded, request_id), KEYS).outcome == "pending"
    assert funded.receipt("a", request_id)["seal"] == {"status": "pending"}
    seal_all(funded)
    assert check_receipt(signed(funded, request_id), KEYS).outcome == "valid"
    funded.refund("a", request_id)
    assert check_receipt(signed(funded, request_id), KEYS).outcome == "pending"


def test_a_request_that_is_under_way_is_pending(funded: Ledger) -> None:
    hold = hold_for("a")
    funded.held(hold)
    seal_all(funded)
    assert check_receipt(signed(funded, hold.request_id), KEYS).outcome == "pending"


def test_a_refused_request_has_a_signature_and_nothing_that_could_be_proven(funded: Ledger) -> None:
    hold = hold_for("nobody")
    funded.hold(hold)
    seal_all(funded)
    assert check_receipt(signed(funded, hold.request_id, "nobody"), KEYS).outcome == "signature_only"
    assert funded.receipt("nobody", hold.request_id)["seal"] == {"status": "none"}


def test_the_file_tells_a_customer_nothing_of_what_the_operator_paid(funded: Ledger) -> None:
    request_id = settled(funded)
    seal_all(funded)
    file = signed(funded, request_id)
    assert b"876543219" not in file
    assert b"provider_" not in file
    assert b"operator_cost" not in file


def test_another_accounts_receipt_is_not_signed(funded: Ledger) -> None:
    with pytest.raises(NotFoundError):
        signed(funded, settled(funded), "b")


def test_without_a_key_nothing_is_signed(funded: Ledger) -> None:
    with pytest.raises(UnavailableError, match="TOLLBOOK_SIGNING_KEY"):
        ReceiptSigner(None, funded.books).signed(funded.connection, "a", settled(funded))


def lie(file: bytes, change: Change) -> Verdict:
    """What comes of a file that the ledger's own key signed after somebody had changed what it says."""
    document = json.loads(file)
    del document["signature"]
    before = copy.deepcopy(document)
    change(document)
    assert document != before, "the lie changes nothing"
    return check_receipt(seal_file(orjson.dumps(document), KEY), KEYS)


def at(*path: str | int) -> Callable[[dict[str, Any]], Any]:
    """What lies at a place of the document."""

    def find(document: Any) -> Any:
        for step in path:
            document = document[step]
        return document

    return find


def more(*path: str | int) -> Change:
    """One more than what was there."""
    return lambda document: at(*path[:-1])(document).__setitem__(path[-1], at(*path)(document) + 1)


def put(value: Any, *path: str | int) -> Change:
    """Something else."""
    return lambda document: at(*path[:-1])(document).__setitem__(path[-1], value)


def gone(*path: str | int) -> Change:
    """Nothing."""
    return lambda document: at(*path[:-1])(document).__delitem__(path[-1])


ENTRY = ("seal", "entries", 0, "entry")
LIES: dict[str, Change] = {
    "a smaller charge": more("receipt", "charge", "amount_nano"),
    "another amount in words": put("0.01", "receipt", "charge", "amount"),
    "no charge": put(None, "receipt", "charge"),
    "another bucket": put("wallet", "receipt", "charge", "bucket"),
    "another currency": put("CNY", "receipt", "charge", "currency"),
    "another price": put(10_000_100_000, "receipt", "charge", "prices", "output"),
    "no prices": put(None, "receipt", "charge", "prices"),
    "more usage": more("receipt", "charge", "usage", "output_tokens"),
    "an attempt's usage": more("receipt", "attempts", 0, "usage", "input_tokens"),
    "another price version": more("receipt", "charge", "price_version"),
    "more held": more("receipt", "charge", "hold_nano"),
    "more given back": more("receipt", "charge", "released_nano"),
    "an overrun": more("receipt", "charge", "overrun_nano"),
    "another balance before": more("receipt", "balance", "before_nano"),
    "another balance after": more("receipt", "balance", "after_nano"),
    "no balance": put(None, "receipt", "balance"),
    "another status": put("released", "receipt", "status"),
    "another account": put("b", "receipt", "account_id"),
    "another request": put(str(new_id()), "receipt", "request_id"),
    "a hold that was not charged": put("released", "receipt", "holds", 0, "state"),
    "a smaller hold": more("receipt", "holds", 0, "amount_nano"),
    "no holds": put([], "receipt", "holds"),
    "a refund that was none": lambda document: document["receipt"]["refunds"].append(
        {"txn_id": str(new_id()), "hold_id": "", "amount_nano": 1, "currency": "USD"}
    ),
    "a posting's amount": more(*ENTRY, "postings", 0, "amount_nano"),
    "a posting's account": put("customer/b/credit/USD", *ENTRY, "postings", 0, "account_name"),
    "a posting less": gone(*ENTRY, "postings", 0),
    "a move": more(*ENTRY, "moves", 0, "after_nano"),
    "a field that nobody knows": put("x", *ENTRY, "more"),
    "a field less": gone(*ENTRY, "txn", "kind"),
    "another entry's number": more(*ENTRY, "seq"),
    "another entry before it": put("00" * 32, *ENTRY, "prev"),
    "another hidden part": put("00" * 32, *ENTRY, "hidden_postings_sha256"),
    "a proof that is cut off": gone("seal", "entries", 0, "proof", 0),
    "a proof of something else": put("00" * 32, "seal", "entries", 0, "proof", 0),
    "a proof that is no proof": put("zz", "seal", "entries", 0, "proof", 0),
    "no entries": put([], "seal", "entries"),
    "the entry twice": lambda document: document["seal"]["entries"].append(document["seal"]["entries"][0]),
    "no seal": put({"status": "none"}, "seal"),
    "a seal that nobody knows": put({"status": "fine"}, "seal"),
    "no seal at all": gone("seal"),
    "a checkpoint of nobody": lambda document: put(
        document["seal"]["checkpoint"].replace("time 2", "time 3"), "seal", "checkpoint"
    )(document),
    "a receipt that is none": put([], "receipt"),
    "another version": put(2, "version"),
}


PARTS = ("receipt", "charge", "parts")
LIES_ABOUT_PARTS: dict[str, Change] = {
    "a part of another amount": more(*PARTS, 0, "amount_nano"),
    "a part of another usage": more(*PARTS, 1, "usage", "output_tokens"),
    "a part less": gone(*PARTS, 0),
    "a part twice": lambda document: at(*PARTS)(document).append(at(*PARTS, 0)(document)),
    "a part of another price": put(7, *PARTS, 0, "prices", "output"),
    "no parts": put([], *PARTS),
    "an attempt that was not charged": put(False, "receipt", "attempts", 0, "charged"),
}


def test_a_receipt_that_lies_about_the_parts_of_its_charge_is_not_valid(funded: Ledger) -> None:
    request_id = with_failures(funded)
    settled(funded)
    seal_all(funded)
    file = signed(funded, request_id)
    believed = [name for name, change in LIES_ABOUT_PARTS.items() if lie(file, change).outcome != "invalid"]
    assert believed == []


def test_a_receipt_that_was_signed_and_says_something_else_than_the_ledger_is_not_valid(funded: Ledger) -> None:
    request_id = settled(funded)
    settled(funded)
    seal_all(funded)
    file = signed(funded, request_id)
    verdicts = {name: lie(file, change) for name, change in LIES.items()}
    assert [name for name, verdict in verdicts.items() if verdict.outcome != "invalid"] == []
    assert all(verdict.problems for verdict in verdicts.values())
    assert verdicts["a smaller charge"].problems[0] == (
        "charge by the postings: the receipt says 1375001, the ledger sealed 1375000"
    )


def test_a_receipt_without_one_of_its_refunds_is_not_valid(funded: Ledger) -> None:
    request_id = refunded(funded)
    seal_all(funded)
    file = signed(funded, request_id)
    for change in (gone("receipt", "refunds", 0), gone("seal", "entries", 1), more("receipt", "refunds", 0, "amount_nano")):
        assert lie(file, change).outcome == "invalid"


def test_the_entry_of_another_request_proves_nothing(funded: Ledger) -> None:
    one, other = settled(funded), settled(funded)
    seal_all(funded)
    theirs = json.loads(signed(funded, other))["seal"]
    assert lie(signed(funded, one), put(theirs, "seal")).outcome == "invalid"


def test_a_receipt_is_believed_with_the_keys_of_its_signature_and_its_checkpoint_only(funded: Ledger) -> None:
    request_id = settled(funded)
    seal_all(funded)
    newer = SigningKey("77" * 32)
    file = ReceiptSigner(newer, funded.books).signed(funded.connection, "a", request_id)
    both = KEYS | {newer.public.id: newer.public}
    outcomes = [check_receipt(file, keys).outcome for keys in (both, KEYS, {newer.public.id: newer.public}, {})]
    assert outcomes == ["valid", "invalid", "invalid", "invalid"]


def test_edge_has_its_own_refusals_signed_and_nothing_else(funded: Ledger) -> None:
    signer, request_id = ReceiptSigner(KEY, funded.books), new_id()
    refused = {"object": "receipt", "status": "refused", "request_id": str(request_id), "account_id": "a", "refusal": {}}
    file = signer.refused(funded.connection, "a", request_id, orjson.dumps(refused))
    assert check_receipt(file, KEYS).outcome == "signature_only"
    for change in ({"status": "settled"}, {"account_id": "b"}, {"charge": {"amount_nano": 0}}, {"request_id": str(new_id())}):
        with pytest.raises(InvalidError):
            signer.refused(funded.connection, "a", request_id, orjson.dumps(refused | change))
    for body in (b"", b"[]", b"{", orjson.dumps(refused | {"x": "y" * 70_000})):
        with pytest.raises(InvalidError):
            signer.refused(funded.connection, "a", request_id, body)
    known = settled(funded)
    with pytest.raises(ConflictError):
        signer.refused(funded.connection, "a", known, orjson.dumps(refused | {"request_id": str(known)}))


@pytest.mark.parametrize("form", ["public_key", "pem", "verifier_key", "list", "file"])
def test_the_command_checks_a_file_with_a_key_in_any_form(funded: Ledger, tmp_path: Path, form: str) -> None:
    request_id = settled(funded)
    seal_all(funded)
    file, described = tmp_path / "receipt.json", KEY.public.described("current")
    file.write_bytes(signed(funded, request_id))
    forms = described | {"list": json.dumps({"data": [described]}), "file": str(tmp_path / "key")}
    (tmp_path / "key").write_text(described["pem"])
    nowhere = {"TOLLBOOK_HOME": str(tmp_path / "nowhere")}
    done = CliRunner().invoke(console, ["receipt", "verify", str(file), "--key", forms[form]], env=nowhere)
    assert done.exit_code == 0, done.output
    assert "VALID: signed, sealed" in done.output
    assert f"374 input {TIMES} 2.50/M + 44 output {TIMES} 10.00/M = 0.001375, rounded once" in done.output
    assert "customer/a/credit/USD" in done.output


def test_the_command_says_what_does_not_match_and_fails(funded: Ledger, tmp_path: Path) -> None:
    request_id = settled(funded)
    file = tmp_path / "receipt.json"

    def run() -> tuple[int, str]:
        done = CliRunner().invoke(console, ["receipt", "verify", str(file), "--key", KEY.public.raw.hex()])
        return done.exit_code, done.output

    file.write_bytes(signed(funded, request_id))
    assert run()[0] == 3
    assert "NOT SEALED YET" in run()[1]
    seal_all(funded)
    document = json.loads(signed(funded, request_id))
    del document["signature"]
    document["receipt"]["charge"]["amount_nano"] -= 1000
    file.write_bytes(seal_file(orjson.dumps(document), KEY))
    code, output = run()
    assert code == 1
    assert "does not match: charge by the postings: the receipt says 1374000, the ledger sealed 1375000" in output
    file.write_bytes(b"{}")
    assert run()[0] == 1


def test_the_command_says_when_it_cannot_read_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_text("{}")
    for arguments in ([str(tmp_path / "none"), "--key", "00" * 32], [str(file), "--key", "nonsense"]):
        done = CliRunner().invoke(console, ["receipt", "verify", *arguments])
        assert done.exit_code != 0
        assert done.exception is not None
    assert CliRunner().invoke(console, ["receipt", "verify", str(file)]).exit_code == 2
