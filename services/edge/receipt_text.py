"""A receipt as a person reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas.money import format_amount
from schemas.plain_text import shown
from services.edge.wording import RULE, tokens_said

Receipt = Mapping[str, Any]


def render_receipt(receipt: Receipt) -> str:
    """The receipt as text, one section under the other. Sections that it lacks are left out."""
    sections = [
        _heading(receipt),
        _who(receipt),
        _plan(receipt),
        _attempts(receipt),
        _fallbacks(receipt),
        _charge(receipt),
        _balance(receipt),
        _refunds(receipt),
        _refusal(receipt),
        _seal(receipt),
        _explanation(receipt),
    ]
    return "\n".join(shown(line) for section in sections for line in section) + "\n"


def _heading(receipt: Receipt) -> list[str]:
    return [RULE, f"RECEIPT  {receipt.get('request_id')}   {str(receipt.get('status', '')).upper()}", RULE]


def _who(receipt: Receipt) -> list[str]:
    tags = ", ".join(f"{name}={value}" for name, value in (receipt.get("tags") or {}).items())
    key = f"{receipt.get('key_name') or ''} ({receipt.get('key_id')})".strip()
    lines = [
        ("key", key),
        ("project", receipt.get("project_id")),
        ("account", receipt.get("account_id")),
        ("environment", receipt.get("environment")),
        ("tags", tags),
        ("run", receipt.get("run_id")),
        ("your id", receipt.get("client_request_id")),
        ("asked for", _asked(receipt)),
        ("answered by", receipt.get("answered_model")),
        ("accepted at", receipt.get("accepted_at")),
        ("settled at", receipt.get("settled_at")),
        ("timing", _timing(receipt)),
        ("routes", f"version {receipt['table_version']}" if receipt.get("table_version") else None),
    ]
    return [f"{name:<12} {value}" for name, value in lines if value]


def _asked(receipt: Receipt) -> str:
    """What the client asked for; of a request that has no record of its end, a release before did not tell it."""
    api = f" over {receipt['client_api']}" if receipt.get("client_api") else ""
    return f"{receipt.get('requested_model') or 'a model'}{api}{', streamed' if receipt.get('stream') else ''}"


def _timing(receipt: Receipt) -> str:
    figures = [("whole", "latency_ms"), ("first token", "ttft_ms"), ("Tollbook's own", "overhead_ms")]
    return ", ".join(f"{name} {receipt[field]:.1f} ms" for name, field in figures if receipt.get(field) is not None)


def _plan(receipt: Receipt) -> list[str]:
    plan: Sequence[Mapping[str, Any]] = receipt.get("plan") or []
    lines = [f"  {place['channel']} ({_kind(place)}) → {place['upstream_model']}" for place in plan]
    return ["", "PLAN", *lines] if lines else []


def _kind(place: Mapping[str, Any]) -> str:
    return f"{place['route_type']}, {place['brand']}" if place.get("brand") else str(place["route_type"])


def _attempts(receipt: Receipt) -> list[str]:
    attempts: Sequence[Mapping[str, Any]] = receipt.get("attempts") or []
    lines = [line for attempt in attempts for line in _attempt(attempt, _currency(receipt))]
    return ["", "ATTEMPTS", *lines] if lines else []


def _attempt(attempt: Mapping[str, Any], currency: str) -> list[str]:
    failure = "" if attempt.get("error_class") is None else f": {attempt['error_class']}"
    status = "" if attempt.get("http_status") is None else f" (HTTP {attempt['http_status']})"
    cost = _money(attempt, "cost_nano", attempt.get("cost_currency") or currency)
    paid = "charged" if attempt.get("charged") else "not charged"
    if cost is not None:
        paid += f": {cost}" if attempt.get("charged") else f" (it would have been {cost})"
    first = f"  {attempt['attempt']}. {attempt['channel']} → {attempt['upstream_model']}: {attempt['outcome']}{failure}{status}"
    return [first, f"     {attempt['latency_ms']:.1f} ms, {tokens_said(attempt.get('usage') or {})}, {paid}"]


def _fallbacks(receipt: Receipt) -> list[str]:
    fallbacks: Sequence[Mapping[str, Any]] = receipt.get("fallbacks") or []
    lines = [f"  {step['from_channel']} → {step['to_channel']}: {step['reason']}{_crossed(step)}" for step in fallbacks]
    return ["", "FALLBACKS", *lines] if lines else []


def _crossed(step: Mapping[str, Any]) -> str:
    return ", into another bucket" if step.get("crossed_bucket") else ""


def _charge(receipt: Receipt) -> list[str]:
    charge: Mapping[str, Any] | None = receipt.get("charge")
    if not charge:
        return []
    currency = charge.get("currency", "")
    lines = [
        ("amount", f"{charge.get('amount')} {currency}"),
        ("computed as", charge.get("arithmetic")),
        ("paid from", charge.get("bucket")),
        ("prices", f"version {charge.get('price_version')}"),
        ("held", _money(charge, "hold_nano", currency)),
        ("given back", _money(charge, "released_nano", currency)),
        ("overrun", _money(charge, "overrun_nano", currency) if charge.get("overrun_nano") else None),
    ]
    return ["", "CHARGE", *(f"  {name:<12} {value}" for name, value in lines if value)]


def _balance(receipt: Receipt) -> list[str]:
    balance: Mapping[str, Any] | None = receipt.get("balance")
    if not balance:
        return []
    before, after = _money(balance, "before_nano", ""), _money(balance, "after_nano", "")
    reserve = f", in the reserve of run {balance['run']}" if balance.get("run") else ""
    return ["", f"BALANCE      {before} → {after} {_currency(receipt)}".rstrip() + reserve]


def _refunds(receipt: Receipt) -> list[str]:
    refunds: Sequence[Mapping[str, Any]] = receipt.get("refunds") or []
    lines = [f"  {each.get('at')}  {_money(each, 'amount_nano', str(each.get('currency')))} to {_to(each)}" for each in refunds]
    return ["", "REFUNDS", *lines] if lines else []


def _to(refund: Mapping[str, Any]) -> str:
    where = f"the reserve of run {refund['run_id']}" if refund.get("run_id") else f"{refund.get('bucket')}"
    return f"{where}: {refund.get('reason')}"


def _refusal(receipt: Receipt) -> list[str]:
    refusal: Mapping[str, Any] | None = receipt.get("refusal")
    return ["", f"REFUSED      {refusal.get('code')}: {refusal.get('message')}"] if refusal else []


def _seal(receipt: Receipt) -> list[str]:
    seal: Mapping[str, Any] = receipt.get("seal") or {}
    if seal.get("status") == "sealed":
        places = ", ".join(f"{entry['seq']}" for entry in seal["entries"])
        entry = "entry" if len(seal["entries"]) == 1 else "entries"
        return ["", f"SEAL         {entry} {places} of {seal['checkpoint_size']}, signed at {seal['checkpoint_at']}"]
    said = {"pending": "pending seal", "none": "nothing to seal: no money moved"}.get(str(seal.get("status")))
    return ["", f"SEAL         {said}"] if said else []


def _explanation(receipt: Receipt) -> list[str]:
    sentences: Sequence[str] = receipt.get("explanation") or []
    return ["", "WHY", *(f"  • {sentence}" for sentence in sentences)] if sentences else []


def _currency(receipt: Receipt) -> str:
    return str((receipt.get("charge") or {}).get("currency") or "")


def _money(values: Mapping[str, Any], field: str, currency: str) -> str | None:
    nano = values.get(field)
    return None if nano is None else f"{format_amount(nano)} {currency}".rstrip()
