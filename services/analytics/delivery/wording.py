"""An alert in words, the same for every kind of receiver. Pure."""

import shlex
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from schemas.money import NANO_PER_UNIT, format_amount
from schemas.plain_text import shown
from services.analytics.delivery.notice import Notice, Owner

LONGEST = 300
"""Characters of a text that somebody else chose."""
AROUND = timedelta(minutes=30)
"""What the dashboard shows before and after an alert."""
FREEZABLE = {"key": "keys", "project": "projects", "account": "accounts", "channel": "channels"}
SIGNALS = {
    "tokens_per_minute_by_key": "tokens per minute of a key",
    "error_rate_by_channel": "error rate of a channel",
    "fallback_frequency": "frequency of fallbacks",
    "spend_by_route": "spend by route",
    "mix_change": "change of the mix of models and channels",
    "failed_with_tokens": "failed requests that used tokens",
    "meter_silent": "the meter is silent",
    "meter_lagging": "the meter lags behind",
    "loader_lagging": "the loader lags behind",
}
EVENTS = {"firing": "FIRING", "acknowledged": "ACKNOWLEDGED", "resolved": "RESOLVED", "test": "TEST"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do next: a link, or a command to type."""

    label: str
    text: str
    is_link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The alert in words. Lines are plain text of one line each."""

    headline: str
    what: str
    against: str
    owner: str
    cost: str
    note: str
    steps: tuple[Step, ...]
    dashboard: str

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """What is known, each with its label; nothing empty."""
        labelled = (
            ("What happened", self.what), ("Against", self.against), ("Owner", self.owner), ("Cost so far", self.cost),
            ("Note", self.note),
        )  # fmt: skip
        return tuple((label, text) for label, text in labelled if text)


def told(notice: Notice, owner: Owner, dashboard_url: str) -> Told:
    """The notice in words. `dashboard_url` empty: no link."""
    dashboard = f"{dashboard_url}#{_place(notice)}" if dashboard_url else ""
    return Told(
        headline=_headline(notice, owner),
        what=_what(notice, owner),
        against=_against(notice),
        owner=_owner(notice, owner),
        cost=", ".join(f"{format_amount(nano)} {clean(currency)}" for currency, nano in sorted(notice.cost_nano.items())),
        note=_note(notice),
        steps=_steps(notice, dashboard),
        dashboard=dashboard,
    )


def clean(text: str, longest: int = LONGEST) -> str:
    """A text that somebody else chose, on one line and of bounded length."""
    plain = " ".join(shown(text.replace("\n", " ").replace("\r", " ").replace("\t", " ")).split())
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def number(value: float) -> str:
    """A figure for people: whole with separators, or three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}"


def measured(value: float, unit: str) -> str:
    """A figure with its unit; a share as a percentage, money as an amount of its currency."""
    if unit == "share":
        return f"{number(value * 100)}%"
    if unit.startswith("nano "):
        amount = value / NANO_PER_UNIT
        return f"{amount:{',.2f' if amount >= 1 else '.3g'}} {clean(unit.removeprefix('nano '))}"
    return f"{number(value)} {clean(unit.replace('_', ' '))}".rstrip()


def subject(notice: Notice, owner: Owner) -> str:
    """What it is about, by name where it has one."""
    named = {"key": owner.key_name, "project": owner.project_name, "account": owner.account_name}.get(notice.subject_kind, "")
    shown_id = clean(notice.subject_id, 128)
    return (
        f"{clean(notice.subject_kind)} {clean(named, 128)} ({shown_id})"
        if named
        else f"{clean(notice.subject_kind)} {shown_id}"
    )


def freeze_command(notice: Notice, verb: str = "freeze") -> str:
    """The command that freezes what it is about, or what its rule freezes; empty where that cannot be frozen."""
    kind, found = (
        ("project", notice.project_id) if notice.action == "freeze_project" else (notice.subject_kind, notice.subject_id)
    )
    group = FREEZABLE.get(kind)
    if group is None or not found:
        return ""
    reason = shlex.quote(f"alert {clean(notice.alert_id, 128)}")
    return f"tollbook {group} {verb} {shlex.quote(clean(found, 128))} --reason {reason}"


def _place(notice: Notice) -> str:
    """The time of the alert on the dashboard, and of a key only what it did, as the page's address says it."""
    begin = min(notice.window_start, notice.fired_at) - AROUND
    end = max(notice.window_end, notice.resolved_at or notice.window_end) + AROUND
    place = {"from": f"{begin:%Y-%m-%dT%H:%M:%SZ}", "to": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
    if notice.subject_kind == "key":
        place["key_id"] = notice.subject_id
    return f"custom&{urlencode(place, safe=':')}"


def _headline(notice: Notice, owner: Owner) -> str:
    if notice.event == "test":
        return "TEST: Tollbook can reach this receiver"
    about = f"{EVENTS[notice.event]} {clean(notice.rule, 64)}: {subject(notice, owner)}"
    return about if notice.event == "resolved" else f"{about} at {measured(notice.observed, notice.unit)}"


def _what(notice: Notice, owner: Owner) -> str:
    if notice.event == "test":
        return "Nothing happened. Somebody asked for a test of this receiver."
    signal = SIGNALS.get(notice.signal, clean(notice.signal.replace("_", " ")))
    since, until = f"{notice.window_start:%H:%M:%S}", f"{notice.window_end:%H:%M:%S} UTC on {notice.window_end:%Y-%m-%d}"
    text = f"{signal}: {subject(notice, owner)} had {measured(notice.observed, notice.unit)} between {since} and {until}."
    if notice.event == "resolved" and notice.resolved_at is not None:
        text += f" It fired at {notice.fired_at:%H:%M:%S} and is over since {notice.resolved_at:%H:%M:%S} UTC."
    return text


def _against(notice: Notice) -> str:
    if notice.event == "test":
        return ""
    fires = f"rule {clean(notice.rule, 64)} fires above {measured(notice.threshold, notice.unit)}"
    if notice.baseline is None:
        return f"no baseline yet; {fires}"
    times = f" ({number(notice.observed / notice.baseline)} times that)" if notice.baseline > 0 else ""
    return f"a baseline of {measured(notice.baseline, notice.unit)}{times}; {fires}"


def _owner(notice: Notice, owner: Owner) -> str:
    parts = [
        f"{kind} {clean(name, 128)} ({clean(found, 128)})" if name else f"{kind} {clean(found, 128)}"
        for kind, name, found in (
            ("account", owner.account_name, notice.account_id),
            ("project", owner.project_name, notice.project_id),
            ("key", owner.key_name, notice.subject_id if notice.subject_kind == "key" else ""),
        )
        if found
    ]
    if owner.people:
        parts.append("owners: " + ", ".join(clean(name, 64) for name in owner.people[:5]))
    return "; ".join(parts) or ("" if notice.event == "test" else "the installation's operators")


def _note(notice: Notice) -> str:
    by = f" by {clean(notice.actor, 128)}" if notice.actor else ""
    parts = {
        "acknowledged": [f"acknowledged{by}"],
        "resolved": [f"ended{by}"] if by else [],
    }.get(notice.event, [])
    if notice.event == "firing" and _freezes(notice):
        parts.append(f"its rule freezes the {notice.action.removeprefix('freeze_')} at once")
    elif notice.action_state:
        parts.append(f"{clean(notice.action.replace('_', ' '))}: {clean(notice.action_state)}")
    if notice.flaps:
        parts.append(f"it came back {notice.flaps} times")
    if notice.reason:
        parts.append(clean(notice.reason))
    return "; ".join(parts)


def _freezes(notice: Notice) -> bool:
    return notice.action.startswith("freeze_") and notice.action_state not in {"asked", "declined", "failed"}


def _steps(notice: Notice, dashboard: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    if notice.event in {"firing", "acknowledged"}:
        if notice.runbook:
            steps.append(
                Step("Runbook", clean(notice.runbook, 1_000), is_link=notice.runbook.startswith(("https://", "http://")))
            )
        steps += _decisions(notice)
        if notice.event == "firing":
            steps.append(Step("Acknowledge", f"tollbook alerts ack {shlex.quote(clean(notice.alert_id, 128))}"))
    elif notice.event == "resolved" and _freezes(notice):
        steps.append(Step("Unfreeze", freeze_command(notice, "unfreeze")))
    if dashboard:
        steps.append(Step("Dashboard", dashboard, is_link=True))
    return tuple(step for step in steps if step.text)


def _decisions(notice: Notice) -> list[Step]:
    alert = shlex.quote(clean(notice.alert_id, 128))
    if notice.action_state == "asked":
        approve, decline = f"tollbook alerts approve {alert}", f"tollbook alerts decline {alert}"
        return [Step("Approve the freeze", approve), Step("Decline", decline)]
    verb = "unfreeze" if _freezes(notice) else "freeze"
    return [Step(verb.capitalize(), freeze_command(notice, verb))]
