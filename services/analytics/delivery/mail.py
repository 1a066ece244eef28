"""Alerts as mail: plain text, and the same in HTML. Pure.

The message id is the delivery's, and each mail of an alert refers to the alert's own id, so that a mailbox shows one thread.
"""

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from html import escape

from schemas.alert_receivers import EmailReceiver
from services.analytics.delivery.outgoing import Item, Mail
from services.analytics.delivery.slack import NAMED
from services.analytics.delivery.wording import clean

STYLE = "font-family:sans-serif;font-size:15px;line-height:1.5;color:#1a1a1a;background:#fff;max-width:42em"


def mail(items: Sequence[Item], receiver: EmailReceiver, password: str | None, now: datetime) -> Mail:
    """One change of an alert, or many in one mail."""
    first = items[0]
    message = EmailMessage()
    host = receiver.sender.rsplit("@", 1)[1]
    message["Subject"] = clean(_subject(items), 180)
    message["From"] = receiver.sender
    message["To"] = ", ".join(receiver.to)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{first.delivery_id}@{host}>"
    message["Auto-Submitted"] = "auto-generated"
    if len(items) == 1:
        message["References"] = f"<alert-{clean(first.notice.alert_id, 128).replace(' ', '-')}@{host}>"
    message.set_content("\n".join(_plain(items)))
    message.add_alternative(_html(items), subtype="html")
    return Mail(message, receiver.host, receiver.reached_at, receiver.security, receiver.username, password)


def _subject(items: Sequence[Item]) -> str:
    first = items[0].told.headline
    return f"[Tollbook] {first}" if len(items) == 1 else f"[Tollbook] {len(items)} changes of alerts: {first}"


def _plain(items: Sequence[Item]) -> list[str]:
    if len(items) > 1:
        return [*(f"- {item.told.headline}" for item in items[:NAMED]), *_rest(items), "", "tollbook alerts list --firing"]
    (item,) = items
    lines = [item.told.headline, "", *(f"{label}: {text}" for label, text in item.told.lines), ""]
    lines += [f"{step.label}: {step.text}" for step in item.told.steps]
    return [*lines, "", f"alert {item.notice.alert_id}"]


def _html(items: Sequence[Item]) -> str:
    if len(items) > 1:
        listed = "".join(f"<li>{escape(item.told.headline)}</li>" for item in items[:NAMED])
        rest = "".join(f"<p>{escape(line)}</p>" for line in _rest(items))
        return f'<div style="{STYLE}"><ul>{listed}</ul>{rest}<p><code>tollbook alerts list --firing</code></p></div>'
    (item,) = items
    facts = "".join(f"<tr><td><b>{escape(label)}</b></td><td>{escape(text)}</td></tr>" for label, text in item.told.lines)
    steps = "".join(
        f'<li>{escape(step.label)}: <a href="{escape(step.text)}">{escape(step.text)}</a></li>'
        if step.is_link
        else f"<li>{escape(step.label)}: <code>{escape(step.text)}</code></li>"
        for step in item.told.steps
    )
    return (
        f'<div style="{STYLE}"><h2>{escape(item.told.headline)}</h2><table cellpadding="4">{facts}</table>'
        f"<ul>{steps}</ul><p><small>alert {escape(item.notice.alert_id)}</small></p></div>"
    )


def _rest(items: Sequence[Item]) -> list[str]:
    return [f"and {len(items) - NAMED} more"] if len(items) > NAMED else []
