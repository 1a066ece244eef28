"""The script in the prompt: `[sim output_tokens=50 cached_tokens=10]`, for formats whose metadata cannot carry one.

Anthropic's `metadata` knows only `user_id` and Gemini's requests have no metadata, so every dialect reads this phrase wherever
in the request's text it stands (the last one counts). The keys are those of `tokens.script_of` without `sim_`;
a dialect's own metadata, where it has some, goes before the phrase.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from deploy.local.provider.tokens import UNSCRIPTED, Script, script_of

TOOL_PHRASE = "call the tool"
"""In the last user message: the simulated model, free to choose, then calls a tool."""

_PHRASE = re.compile(r"\[sim((?: [a-z_]{1,32}=\d{1,12}){1,16})\]")


def scripted(text: str, metadata: Mapping[str, str]) -> Script:
    """The script of a request. Raises RefusedError (400) where a figure is out of its bounds."""
    said = phrase_in(text)
    if not said and not metadata:
        return UNSCRIPTED
    return script_of({**said, **metadata})


def phrase_in(text: str) -> dict[str, str]:
    """What the last phrase in a text says."""
    if "[sim " not in text:
        return {}
    found = _PHRASE.findall(text)
    pairs = (pair.partition("=") for pair in found[-1].split()) if found else ()
    return {f"sim_{key}": value for key, _, value in pairs}
