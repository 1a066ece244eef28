"""The money in a receipt against the postings of the entries that prove it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.money import Prices, Usage, charge_nano, format_amount

Json = Mapping[str, Any]
SETTLING = {"capture": "settled", "release": "released", "late_usage": "expired"}
ENDED = {"captured", "released", "expired"}


@dataclass(slots=True)
class Charged:
    """What the entries say was charged, in the words of the verdict."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def told(self) -> list[tuple[str, str]]:
        """Name and value of every line."""
        return self.lines


class _Comparison:
    """Collects what does not match."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.charged = Charged()

    def same(self, what: str, said: Any, proven: Any) -> None:
        if said != proven or type(said) is not type(proven):
            self.problems.append(f"{what}: the receipt says {said}, the ledger sealed {proven}")


def differences(receipt: Json, entries: Sequence[Json]) -> tuple[list[str], Charged]:
    """What of the receipt is not what was sealed, in sentences, and the charge as it was proven.

    Raises KeyError, TypeError, AttributeError or ValueError where the receipt is not shaped as one.
    """
    found = _Comparison()
    by_kind: dict[str, list[Json]] = {}
    for entry in entries:
        by_kind.setdefault(entry["txn"]["kind"], []).append(entry)
        _whose(found, receipt, entry)
    settled = [entry for kind in SETTLING for entry in by_kind.get(kind, ())]
    _status(found, receipt, settled, by_kind.get("expire", []))
    _holds(found, receipt, entries)
    paying = _paying(receipt, settled, by_kind.get("expire", []))
    if receipt["charge"]:
        if paying is None:
            found.problems.append("a charge: the receipt names one, and no sealed transaction took it")
        else:
            _charge(found, receipt, paying)
            _balance(found, receipt, paying)
    elif paying is not None and _paid(paying):
        found.problems.append("a charge: the ledger sealed one that the receipt does not name")
    _refunds(found, receipt, by_kind.get("refund", []))
    return found.problems, found.charged


def _whose(found: _Comparison, receipt: Json, entry: Json) -> None:
    txn = entry["txn"]
    found.same("account", receipt["account_id"], txn["holder"])
    if txn["kind"] == "refund":
        if txn["hold_id"] not in {hold["hold_id"] for hold in receipt["holds"]}:
            found.problems.append(f"transaction {txn['id']} gives back what another request was charged")
    else:
        found.same("request", receipt["request_id"], txn["request_id"])
    for currency in {posting["currency"] for posting in entry["postings"]}:
        sides = {side: _sum(entry, side=side, currency=currency) for side in ("debit", "credit")}
        if sides["debit"] != sides["credit"]:
            found.problems.append(f"transaction {txn['id']} does not balance in {currency}")


def _status(found: _Comparison, receipt: Json, settled: Sequence[Json], expired: Sequence[Json]) -> None:
    if len(settled) > 1:
        found.problems.append("the request: more than one transaction settles it")
    for entry in settled:
        kept = entry["receipt"] or {}
        found.same("status", receipt["status"], SETTLING[entry["txn"]["kind"]])
        found.same("status of the ledger's own receipt", receipt["status"], kept.get("status"))
    if not settled:
        if not expired:
            found.problems.append(f"status: nothing that was sealed makes the request {receipt['status']}")
        found.same("status", receipt["status"], "expired")


def _holds(found: _Comparison, receipt: Json, entries: Iterable[Json]) -> None:
    sealed = {hold["id"]: hold for entry in entries for hold in entry["holds"]}
    shown = {hold["hold_id"]: hold for hold in receipt["holds"]}
    for hold_id, hold in sealed.items():
        said = shown.get(hold_id)
        if said is None:
            found.problems.append(f"hold {hold_id}: the receipt leaves it out")
            continue
        found.same(f"hold {hold_id}, state", said["state"], hold["state"].lower())
        for name in ("bucket", "currency", "amount_nano", "captured_nano", "released_nano", "price_version", "output_cap"):
            found.same(f"hold {hold_id}, {name}", said[name], hold[name])
    for hold_id, hold in shown.items():
        if hold["state"] in ENDED and hold_id not in sealed:
            found.problems.append(f"hold {hold_id}: it ended, and no sealed transaction ended it")


def _paying(receipt: Json, settled: Sequence[Json], expired: Sequence[Json]) -> Json | None:
    """The entry that took the charge: the capture, or the expiry of the hold that the receipt names first."""
    for entry in settled:
        if entry["txn"]["kind"] == "capture":
            return entry
    order = [hold["hold_id"] for hold in receipt["holds"] if hold["state"] == "expired"]
    by_hold = {entry["txn"]["hold_id"]: entry for entry in expired}
    return next((by_hold[hold] for hold in order if hold in by_hold), None)


def _charge(found: _Comparison, receipt: Json, entry: Json) -> None:
    charge, txn = receipt["charge"], entry["txn"]
    amount, currency = charge["amount_nano"], charge["currency"]
    hold = next((each for each in entry["holds"] if each["id"] == txn["hold_id"]), None)
    if hold is None:
        found.problems.append("the charge: the entry does not hold what was set aside for it")
        return
    found.same("charge by the postings", amount, _credited(entry, "revenue/", currency))
    from_bucket = _debited(entry, hold["account_name"], currency)
    owed = _sum(entry, side="debit", currency=currency, name="overrun_receivable/")
    found.same("charge by what was taken and what is owed", amount, from_bucket + owed)
    found.same("amount in words", charge["amount"], format_amount(amount))
    found.same("currency", currency, hold["currency"])
    found.same("bucket", charge["bucket"], hold["bucket"])
    found.same("account that paid", str(hold["account_name"]), _account_name(receipt, hold))
    found.same("price version", charge["price_version"], txn["price_version"])
    found.same("held before", charge["hold_nano"], hold["amount_nano"])
    found.same("given back", charge["released_nano"], hold["released_nano"])
    kept = entry["receipt"]
    if kept is not None:
        found.same("charge of the ledger's own receipt", amount, kept["charge_nano"])
        found.same("overrun", charge["overrun_nano"], kept["overrun_nano"])
    _arithmetic(found, receipt, amount)
    found.charged.lines.append(("charge", f"{format_amount(amount)} {currency} from bucket {charge['bucket']}"))
    found.charged.lines.append(("postings", f"transaction {txn['id']}: {_lines(entry)}"))


def _account_name(receipt: Json, hold: Json) -> str:
    if hold["reserved"] == "true":
        return f"run_reserve/{hold['run']}/{hold['bucket']}/{hold['currency']}"
    return f"customer/{receipt['account_id']}/{hold['bucket']}/{hold['currency']}"


def _arithmetic(found: _Comparison, receipt: Json, amount: int) -> None:
    """Prices times usage, rounded once, is the charge. An expired request is charged for what was seen of it."""
    charge = receipt["charge"]
    if receipt["status"] != "settled":
        found.charged.lines.append(("computed as", "the last progress that was recorded before the request ran out of time"))
        return
    if charge.get("parts"):
        _parts(found, receipt, amount)
        return
    if charge["prices"] is None or charge["usage"] is None:
        found.problems.append("the charge: the receipt names no prices and no usage that make it")
        return
    prices, usage = Prices.model_validate(charge["prices"]), Usage.model_validate(charge["usage"])
    found.same("charge by prices and usage", amount, charge_nano(prices, usage))
    billed = [attempt["usage"] for attempt in receipt["attempts"] if attempt["charged"]]
    found.same("usage of the attempt that was charged", [charge["usage"]], billed)
    terms = (
        (usage.input_tokens, prices.input, "input"),
        (usage.cached_input_tokens, prices.cached_input, "cached"),
        (usage.cache_write_tokens, prices.cache_write, "cache write"),
        (usage.output_tokens, prices.output, "output"),
    )
    said = " + ".join(
        f"{tokens} {kind} \N{MULTIPLICATION SIGN} {format_amount(price)}/M" for tokens, price, kind in terms if tokens
    )
    found.charged.lines.append(("computed as", f"{said or '0'} = {format_amount(amount)}, rounded once"))


def _parts(found: _Comparison, receipt: Json, amount: int) -> None:
    """A charge of several attempts: each by its own prices and usage, rounded once, and together the charge."""
    told = receipt["charge"]["parts"]
    billed = [(attempt["attempt"], attempt["usage"]) for attempt in receipt["attempts"] if attempt["charged"]]
    found.same("attempts that were charged", [(part["attempt"], part["usage"]) for part in told], billed)
    for part in told:
        prices, usage = Prices.model_validate(part["prices"]), Usage.model_validate(part["usage"])
        found.same(f"charge of attempt {part['attempt']}", part["amount_nano"], charge_nano(prices, usage))
        found.charged.lines.append(("computed as", f"attempt {part['attempt']}: {part['arithmetic']}, rounded once"))
    found.same("charge by its attempts", amount, sum(part["amount_nano"] for part in told))


def _balance(found: _Comparison, receipt: Json, entry: Json) -> None:
    hold = next((each for each in entry["holds"] if each["id"] == entry["txn"]["hold_id"]), None)
    move = next((each for each in entry["moves"] if hold and each["account"] == hold["account"]), None)
    if move is None:
        if receipt["balance"] is not None:
            found.problems.append("balance: the receipt names one, and the ledger sealed none")
        return
    balance = receipt["balance"] or {}
    found.same("balance before", balance.get("before_nano"), move["before_nano"])
    found.same("balance after", balance.get("after_nano"), move["after_nano"])
    taken = _debited(entry, hold["account_name"] if hold else "", receipt["charge"]["currency"])
    found.same("balance before less what was taken", move["before_nano"] - taken, move["after_nano"])
    words = f"{format_amount(move['before_nano'])} \N{RIGHTWARDS ARROW} {format_amount(move['after_nano'])}"
    found.charged.lines.append(("balance", f"{words} {receipt['charge']['currency']}"))


def _refunds(found: _Comparison, receipt: Json, entries: Sequence[Json]) -> None:
    sealed = {entry["txn"]["id"]: entry for entry in entries}
    shown = {refund["txn_id"]: refund for refund in receipt.get("refunds") or ()}
    for txn_id in sealed.keys() | shown.keys():
        entry, refund = sealed.get(txn_id), shown.get(txn_id)
        if entry is None or refund is None:
            where = "the ledger sealed none" if entry is None else "the receipt leaves it out"
            found.problems.append(f"refund {txn_id}: {where}")
            continue
        given = _sum(entry, side="debit", currency=refund["currency"], name="revenue/")
        found.same(f"refund {txn_id}", refund["amount_nano"], given)
        found.charged.lines.append(("given back", f"{format_amount(given)} {refund['currency']}"))


def _paid(entry: Json) -> bool:
    return any(posting["account_name"].startswith("revenue/") for posting in entry["postings"])


def _credited(entry: Json, name: str, currency: str) -> int:
    return _sum(entry, side="credit", currency=currency, name=name)


def _debited(entry: Json, name: str | None, currency: str) -> int:
    return sum(
        posting["amount_nano"]
        for posting in entry["postings"]
        if posting["side"] == "debit" and posting["currency"] == currency and posting["account_name"] == name
    )


def _sum(entry: Json, *, side: str, currency: str, name: str = "") -> int:
    """What the entry's postings to accounts whose name begins so add up to, on one side and in one currency."""
    return sum(
        posting["amount_nano"]
        for posting in entry["postings"]
        if posting["side"] == side and posting["currency"] == currency and posting["account_name"].startswith(name)
    )


def _lines(entry: Json) -> str:
    parts = [
        f"{posting['side']} {posting['account_name']} {format_amount(posting['amount_nano'])}" for posting in entry["postings"]
    ]
    return ", ".join(parts) or "no money moved"
