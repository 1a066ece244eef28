"""What a name may hold: no character that could hide, reverse or break a line of a receipt, a log or a terminal. Pure."""

import re

_UNPLAIN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters (Cc)
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that turn the direction of what is read (Cf, bidirectional)
    "\u2028\u2029"  # separators of lines and paragraphs (Zl, Zp)
    "\ud800-\udfff]"  # halves of surrogate pairs (Cs)
)
RULE = "takes no control, line-breaking or direction-turning characters"


def unplain(text: str) -> str | None:
    """The first character that a name may not hold, as `U+202E`; None where there is none."""
    found = _UNPLAIN.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def plain_text(text: str) -> str:
    """The text itself. Raises ValueError naming the character that a name may not hold."""
    found = unplain(text)
    if found is not None:
        raise ValueError(f"{RULE} ({found})")
    return text


def shown(text: str) -> str:
    """The text as it may be shown: what a name may not hold is written out, such as `\\u202e`."""
    return _UNPLAIN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
