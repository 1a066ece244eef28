"""Instants as people read them in a table; `--json` has them to the microsecond."""

import re

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)")


def when(text: str | None) -> str | None:
    """`2026-11-25 20:53:29` in UTC; another text as it is."""
    found = _INSTANT.fullmatch(text or "")
    return text if found is None else f"{found[1]} {found[2]}"
