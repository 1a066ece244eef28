"""A value of a type that no API takes at its place is the client's fault: 400, and no channel is blamed."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from services.router.ask import parse_ask
from services.router.dialects.known import DIALECTS
from services.router.errors import UpstreamError
from services.router.translation import body_for

CALLS = [{"id": [], "type": "function", "function": {"name": "w", "arguments": "{}"}}]
WRONG: list[tuple[str, dict[str, Any]]] = [
    *[(dialect, {"messages": [{"role": [], "content": "x"}]}) for dialect in ("anthropic", "gemini")],
    *[(dialect, {"reasoning_effort": []}) for dialect in ("anthropic", "gemini")],
    *[(dialect, {"messages": [{"role": "assistant", "tool_calls": 1}]}) for dialect in ("anthropic", "gemini")],
    ("gemini", {"messages": [{"role": "assistant", "tool_calls": CALLS}]}),
]


@pytest.mark.parametrize(("dialect", "fields"), WRONG)
def test_a_wrong_type_is_refused(dialect: str, fields: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    call: Any = SimpleNamespace(ask=parse_ask(orjson.dumps(body)))
    with pytest.raises(UpstreamError) as refused:
        body_for(DIALECTS["chat"][dialect], call, "m", 10)
    assert (refused.value.error_class, refused.value.status) == ("not_translatable", 400)
