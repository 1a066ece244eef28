"""Alerts as messages of Slack's incoming webhooks, in blocks. Pure.

At most 50 blocks; a header holds 150 characters of plain text, a section 3,000, a context 10 elements.
"""

import re
from collections.abc import Sequence
from typing import Any

from services.analytics.delivery.outgoing import Item
from services.analytics.delivery.wording import Step

HEADER_MAX = 150
SECTION_MAX = 2_900
LINE_MAX = 1_400
_HALF = re.compile(r"(<[^>]*|&[a-z]{0,3})$")
NAMED = 10
"""Alerts that a digest names; the rest is counted."""
SIGNS = {"firing": "🔴", "acknowledged": "🟡", "resolved": "🟢", "test": "🔵"}
Block = dict[str, Any]


def payload(item: Item) -> dict[str, Any]:
    """One change of an alert."""
    headline = f"{SIGNS[item.notice.event]} {item.told.headline}"
    blocks = [_header(headline), *_sections([f"*{label}:* {escaped(text)}" for label, text in item.told.lines])]
    if item.told.steps:
        blocks += _sections(["*What to do next*", *(_step(step) for step in item.told.steps)])
    blocks.append(_context(f"{item.notice.severity} · alert {item.notice.alert_id}"))
    return {"text": escaped(headline), "blocks": blocks}


def digest(items: Sequence[Item], dashboard_url: str) -> dict[str, Any]:
    """Many changes in one message: the first are named, the rest counted."""
    headline = f"{len(items)} changes of alerts at once"
    lines = [f"{SIGNS[item.notice.event]} {escaped(item.told.headline)}" for item in items[:NAMED]]
    if len(items) > NAMED:
        lines.append(f"and {len(items) - NAMED} more")
    steps = [Step("All of them", "tollbook alerts list --firing")]
    steps += [Step("Dashboard", dashboard_url, is_link=True)] if dashboard_url else []
    blocks = [_header(headline), *_sections(lines), *_sections([_step(step) for step in steps])]
    return {"text": escaped(f"{headline}: {items[0].told.headline}"), "blocks": blocks}


def escaped(text: str) -> str:
    """A text that Slack shows as it stands: `&`, `<` and `>` are its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _step(step: Step) -> str:
    if step.is_link:
        address = escaped(step.text).replace("|", "%7C")
        return f"• {step.label}: <{address}|{address[:200]}>"
    return f"• {step.label}: `{escaped(step.text).replace('`', chr(39))}`"


def _header(text: str) -> Block:
    shortened = text if len(text) <= HEADER_MAX else text[: HEADER_MAX - 1] + "…"
    return {"type": "header", "text": {"type": "plain_text", "text": shortened, "emoji": True}}


def _sections(lines: Sequence[str]) -> list[Block]:
    """The lines in as few sections as hold them."""
    texts: list[str] = []
    for line in map(_cut, lines):
        if texts and len(texts[-1]) + 1 + len(line) <= SECTION_MAX:
            texts[-1] += f"\n{line}"
        else:
            texts.append(line)
    return [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts]


def _cut(line: str) -> str:
    """A line that is not too long, ending in no half of a link or of an escaped character."""
    if len(line) <= LINE_MAX:
        return line
    kept = _HALF.sub("", line[: LINE_MAX - 1])
    return f"{kept}…"


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": escaped(text)}]}
