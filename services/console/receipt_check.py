"""Whether a signed receipt is what its ledger sealed: from the file and the public key alone. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from schemas.merkle import includes
from schemas.notes import Checkpoint, Keys, NoteError, open_checkpoint
from schemas.sealing import EntryError, disclosed_hash
from schemas.signed_receipts import ReceiptFileError, open_file
from services.console.receipt_money import differences

Outcome = Literal["valid", "signature_only", "pending", "invalid"]


@dataclass(slots=True)
class Verdict:
    """What came of it. `facts` are what was found to be true, `problems` what does not match."""

    outcome: Outcome
    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_receipt(file: bytes, keys: Keys) -> Verdict:
    """The verdict on a file. Never raises for what the file holds."""
    try:
        document, key = open_file(file, keys)
    except ReceiptFileError as error:
        return Verdict("invalid", problems=[str(error)])
    verdict = Verdict("valid")
    try:
        receipt, seal = _parts(document)
        verdict.facts += [
            ("request", f"{receipt['request_id']}  {receipt['status']}"),
            ("signed by", f"key {key.id} at {document['signed_at']}"),
        ]
        _weigh(verdict, receipt, seal, keys)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        verdict.problems.append(_said(error))
    if verdict.problems:
        verdict.outcome = "invalid"
    return verdict


def _parts(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if (document.get("object"), document.get("version")) != ("signed_receipt", 1):
        raise ValueError("it is no receipt of version 1, use a newer verifier")
    return document["receipt"], document["seal"]


def _weigh(verdict: Verdict, receipt: Mapping[str, Any], seal: Mapping[str, Any], keys: Keys) -> None:
    status = seal["status"]
    if status == "sealed":
        entries = _proven(verdict, seal, keys)
        problems, charged = differences(receipt, entries)
        verdict.problems += problems
        if not problems:
            verdict.facts += charged.told()
    elif status == "pending":
        verdict.outcome = "pending"
    elif status == "none" and receipt["status"] == "refused" and not receipt.get("charge"):
        verdict.outcome = "signature_only"
    else:
        verdict.problems.append(f"a request that is {receipt['status']} must be sealed, and the file says {status!r}")


def _proven(verdict: Verdict, seal: Mapping[str, Any], keys: Keys) -> list[Mapping[str, Any]]:
    """The entries that the checkpoint covers; what is not proven is a problem and is left out."""
    try:
        checkpoint = open_checkpoint(seal["checkpoint"], keys)
    except NoteError as error:
        verdict.problems.append(f"the checkpoint: {error}")
        return []
    found = []
    for each in seal["entries"]:
        entry = each["entry"]
        if _is_in(checkpoint, entry, each["proof"]):
            found.append(entry)
            at = checkpoint.at.isoformat(timespec="seconds").replace("+00:00", "Z")
            verdict.facts.append(("sealed as", f"entry {entry['seq']} of {checkpoint.size}, checkpoint of {at}"))
        else:
            verdict.problems.append(f"entry {entry['seq']} is not in the tree that the checkpoint signed")
    return found


def _is_in(checkpoint: Checkpoint, entry: Mapping[str, Any], proof: Sequence[str]) -> bool:
    try:
        leaf = disclosed_hash(entry)
        nodes = [bytes.fromhex(node) for node in proof]
    except EntryError:
        return False
    return includes(root=checkpoint.root, size=checkpoint.size, index=entry["seq"], leaf=leaf, proof=nodes)


def _said(error: Exception) -> str:
    return f"the receipt lacks {error}" if isinstance(error, KeyError) else f"the receipt is not shaped as one: {error}"
