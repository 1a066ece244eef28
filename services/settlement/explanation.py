"""A receipt in plain sentences. Pure: everything is taken from the receipt itself."""

from collections.abc import Iterable
from typing import Any

from schemas.money import format_amount

REASONS = {
    "rate_limited": "it was limited by the provider",
    "upstream_error": "the provider answered with an error",
    "upstream_unavailable": "the provider was unavailable",
    "connection_failed": "the provider could not be reached",
    "timeout": "the provider did not answer in time",
    "stream_cut": "the stream broke off",
    "malformed_reply": "the provider's reply could not be read",
    "invalid_request": "the provider refused the request",
    "unauthorized": "the provider refused the channel's key",
    "content_filtered": "the provider filtered the content",
    "client_gone": "the client had gone",
    "deadline_exceeded": "the time for the request was over",
    "ledger_unavailable": "the ledger could not be reached",
    "log_unavailable": "the log could not be reached",
    "not_translatable": "the provider of the first has no word for a part of the request, so that nothing was sent to it",
    "internal": "Tollbook failed",
    "circuit_open": "the channel had failed too often and rests",
    "cooldown": "the channel was asked to wait",
    "channel_frozen": "an operator had taken the channel out of use",
    "insufficient_funds": "the bucket that pays for it had not enough",
    "request_limit": "the channel had reached its requests per minute",
    "token_limit": "the channel had reached its tokens per minute",
    "concurrency_limit": "the channel had as many requests at once as it may have",
}
UNSENT = {
    "client_gone": "the client left before that",
    "not_translatable": "no provider of the plan has a word for a part of the request",
    "rate_limited": "every channel of the plan had come to a limit by then",
    "upstream_unavailable": "no channel of the plan could be called by then",
}
"""Why a request that was held for ended without an attempt. Of other ends it is not known that nothing was sent."""


def explain(receipt: dict[str, Any], *, written_off_nano: int = 0, error_class: str | None = None) -> list[str]:
    """The sentences, in the order in which things happened. `error_class` is how the request ended, which its record tells."""
    return [
        _asked(receipt),
        *_planned(receipt),
        *_attempts(receipt),
        *_fallbacks(receipt),
        *_unsent(receipt, error_class),
        *_paid(receipt, written_off_nano),
        *_refunds(receipt),
        *(f"A person will look at it: {case['detail']}." for case in receipt["cases"]),
    ]


def _asked(receipt: dict[str, Any]) -> str:
    key = receipt["key_name"] or receipt["key_id"]
    model = receipt["requested_model"] or "a model"
    how = " as a stream" if receipt["stream"] else ""
    return f"Key {key} of project {receipt['project_id']} asked for {model}{how} at {receipt['accepted_at']}."


def _planned(receipt: dict[str, Any]) -> Iterable[str]:
    """What a request that has no record of its end was to be answered by: that is all that its hold knows of it."""
    if receipt["status"] in {"pending", "expired"} and receipt["stream"] is None:
        places = [f"{each['upstream_model']} on channel {each['channel']} ({each['route_type']})" for each in receipt["plan"]]
        yield f"It was to be answered by {', or by '.join(places)}."


def _attempts(receipt: dict[str, Any]) -> Iterable[str]:
    for each in receipt["attempts"]:
        usage = each["usage"]
        tokens_in = usage["input_tokens"] + usage["cached_input_tokens"] + usage["cache_write_tokens"]
        where = (
            f"Attempt {each['attempt']} went to {each['upstream_model']} on channel {each['channel']} ({each['route_type']})"
        )
        if each["outcome"] == "succeeded":
            tokens = f"{tokens_in} tokens in, {usage['output_tokens']} tokens out"
            drained = ", read to its end although the client had gone" if each["after_disconnect"] == "drained" else ""
            yield f"{where} and was answered in {each['latency_ms']:.0f} ms{drained}: {tokens}."
            yield from _own_count(receipt, each)
            continue
        why = REASONS.get(each["error_class"] or "", "it failed")
        burned = (
            f"; it used {tokens_in} tokens in and {usage['output_tokens']} out" if tokens_in + usage["output_tokens"] else ""
        )
        ended = "was cancelled" if each["outcome"] == "cancelled" else "failed"
        charged = "" if each["charged"] else "; it is not charged"
        yield f"{where} and {ended}: {why}{burned}{charged}."
        yield from _exposed(each)


def _unsent(receipt: dict[str, Any], error_class: str | None) -> Iterable[str]:
    if receipt["status"] == "released" and not receipt["attempts"] and error_class in UNSENT:
        yield f"Nothing was sent to a provider: {UNSENT[error_class]}."


def _exposed(attempt: dict[str, Any]) -> Iterable[str]:
    """What nobody knows: a call that broke may be billed to Tollbook, whose risk it is."""
    exposure = attempt["exposure"]
    if exposure is not None:
        tokens_in = exposure["input_tokens"] + exposure["cached_input_tokens"] + exposure["cache_write_tokens"]
        yield (
            f"The provider did not say what it counted for attempt {attempt['attempt']}: it may bill Tollbook for up to"
            f" {tokens_in} tokens in and {exposure['output_tokens']} out. That is not charged to you."
        )


def _own_count(receipt: dict[str, Any], attempt: dict[str, Any]) -> Iterable[str]:
    """A stream that is cut at its cap ends before the provider reports what it counted."""
    cap = next((hold["output_cap"] for hold in receipt["holds"] if hold["hold_id"] == attempt["hold_id"]), None)
    if attempt["usage_source"] == "estimated" and cap is not None:
        yield (
            "Tollbook counted these tokens itself, since the provider's own count did not come: at most"
            f" {cap} tokens out for each choice, which is what was held for and where a stream is cut."
        )


def _fallbacks(receipt: dict[str, Any]) -> Iterable[str]:
    for each in receipt["fallbacks"]:
        crossed = ", and another bucket pays" if each["crossed_bucket"] else ""
        why = REASONS.get(each["reason"], each["reason"])
        yield f"The plan moved from {each['from_channel']} to {each['to_channel']} because {why}{crossed}."


def _paid(receipt: dict[str, Any], written_off_nano: int) -> Iterable[str]:
    status = receipt["status"]
    if status == "refused":
        yield f"Nothing was sent to a provider and nothing is charged: {receipt['refusal']['message']}."
    elif status == "pending":
        held = ", ".join(_money(hold["amount_nano"], hold["currency"]) for hold in receipt["holds"] if hold["state"] == "held")
        yield f"The request is not settled yet; {held} is held for it."
    elif status == "released":
        yield "Nothing is charged: what was held went back to the balance."
    elif receipt["charge"]:
        yield from _charged(receipt, written_off_nano)


def _charged(receipt: dict[str, Any], written_off_nano: int) -> Iterable[str]:
    charge, balance = receipt["charge"], receipt["balance"]
    currency = charge["currency"]
    amount = _money(charge["amount_nano"], currency)
    if receipt["status"] == "expired":
        yield f"The request did not end in time; for what was seen of it {amount} was charged to bucket {charge['bucket']}."
        if written_off_nano:
            yield f"Usage that was reported later, {_money(written_off_nano, currency)}, is not charged to you."
    else:
        how = f" at price book {charge['price_version']}: {charge['arithmetic']} {currency}" if charge["arithmetic"] else ""
        yield f"{amount} was charged to bucket {charge['bucket']}{how}."
        for part in charge.get("parts", []):
            yield f"Of it for attempt {part['attempt']}: {part['arithmetic']} {currency}."
        if charge.get("parts"):
            yield "Failed attempts that used tokens are charged, because the account's policy says so."
    held, released = _money(charge["hold_nano"], currency), _money(charge["released_nano"], currency)
    yield f"{held} had been held before the call; {released} of it went back."
    if charge["overrun_nano"]:
        yield f"The provider counted more than was held: {_money(charge['overrun_nano'], currency)} came on top."
    if balance:
        what = f"What is set aside for run {balance['run']}" if balance["run"] else "The balance"
        yield f"{what} went from {_money(balance['before_nano'], currency)} to {_money(balance['after_nano'], currency)}."


def _refunds(receipt: dict[str, Any]) -> Iterable[str]:
    for each in receipt["refunds"]:
        where = f"the reserve of run {each['run_id']}" if each["run_id"] else f"bucket {each['bucket']}"
        amount = _money(each["amount_nano"], each["currency"])
        yield f"{amount} of it was given back to {where} at {each['at']}: {each['reason']}."


def _money(nano: int, currency: str) -> str:
    return f"{format_amount(nano)} {currency}"
