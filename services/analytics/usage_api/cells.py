"""Texts as cells of a sheet that somebody will open with a spreadsheet. Pure.

Names, models and the values of tags are what clients wrote. A spreadsheet runs a cell that begins like a formula; one that
expects semicolons, as in much of Europe, also begins a cell after each semicolon within a text.
"""

import re

from schemas.plain_text import shown

_FORMULA = re.compile(
    r'(^|;)([\s"]*)'  # where a cell begins, and what is skipped there
    "(?=[=+@\\-\u2212"  # signs of a formula, and the minus of typographers
    "\uff1d\uff0b\uff0d\uff20])"  # the same in the full width that some spreadsheets read as theirs
)


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: `'` stands before its sign. What no name may hold is written out."""
    return _FORMULA.sub(_quoted, shown(text))


def _quoted(found: re.Match[str]) -> str:
    begin, skipped = found.groups()
    return f"{begin}'{skipped}"
