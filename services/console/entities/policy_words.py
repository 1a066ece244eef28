"""Policies as options: what an account, a project or a key may ask for."""

from typing import Annotated, Any

import typer

from services.console.spoken import SpokenError

ANY = "any"
YES_NO_ANY = {"yes": True, "no": False, ANY: None}
"""`any` leaves the rule to the envelopes around."""
FLAGS = ("fallback", "cross_bucket", "charge_failed", "restart_streams", "store_replies")

Models = Annotated[
    str | None,
    typer.Option(
        help="Models that may be asked for, separated by commas; `any` leaves it to what is around.", show_default=False
    ),
]
Routes = Annotated[
    str | None,
    typer.Option(help="Route types that may be used: direct, pooled, subscription; or `any`.", show_default=False),
]
Attempts = Annotated[str | None, typer.Option(metavar="1-10|any", help="Attempts of one request at most.", show_default=False)]


def flag(text: str) -> Any:
    """An option that is yes, no, or left to what is around."""
    return typer.Option(metavar="yes|no|any", help=text, show_default=False)


Fallback = Annotated[str | None, flag("Whether another place may answer where the first one fails.")]
CrossBucket = Annotated[str | None, flag("Whether a fallback may be paid from another bucket.")]
ChargeFailed = Annotated[str | None, flag("Whether failed attempts that used tokens are charged.")]
RestartStreams = Annotated[str | None, flag("Whether a stream that broke before its content is begun again.")]
StoreReplies = Annotated[str | None, flag("Whether replies are kept a day for their idempotency key.")]


def policy_of(said: dict[str, str | None], before: dict[str, Any] | None = None) -> dict[str, Any] | None:
    """The policy with what was said in place of what it said before; None where nothing is said. Raises SpokenError."""
    policy = {name: value for name, value in (before or {}).items() if value is not None}
    for name, text in said.items():
        if text is None:
            continue
        value = _value(name, text.strip())
        if value is None:
            policy.pop(name, None)
        else:
            policy[name] = value
    return policy or None


def _value(name: str, text: str) -> Any:
    if name in FLAGS:
        if text not in YES_NO_ANY:
            raise SpokenError(f"--{name.replace('_', '-')} {text!r}: write yes, no or any")
        return YES_NO_ANY[text]
    if text == ANY:
        return None
    if name == "max_attempts":
        if not text.isascii() or not text.isdecimal():
            raise SpokenError(f"--max-attempts {text!r}: write a number from 1 to 10, or any")
        return int(text)
    found = [each.strip() for each in text.split(",") if each.strip()]
    if not found:
        raise SpokenError(f"--{'routes' if name == 'route_types' else name} names nothing: write one or more, or any")
    return found
