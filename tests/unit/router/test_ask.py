"""What router needs of a body is checked, and the parameter at fault is named."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.router.affinity import Affinity
from services.router.ask import parse_ask
from services.router.breaker import BreakerLimits
from services.router.call import CHAT
from services.router.errors import RefusalError
from services.router.health import Health
from services.router.planner import Planner
from services.router.price_view import NO_PRICES
from tests.unit.router.things import ask, body, catalog, channel, context, model

MESSAGE = {"role": "user", "content": "hello"}


def test_a_plain_request() -> None:
    request = ask()
    assert (request.model, request.stream, request.include_usage, request.cap, request.choices) == (
        "gpt-4o",
        False,
        False,
        None,
        1,
    )
    assert (request.messages, request.image_parts, request.body_bytes) == (1, 0, len(body()))


@pytest.mark.parametrize(
    ("more", "cap"),
    [({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"max_tokens": None, "max_completion_tokens": 7}, 7)],
)
def test_either_name_of_the_cap_counts(more: dict[str, Any], cap: int) -> None:
    assert ask(**more).cap == cap


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": 7}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 129}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [MESSAGE, "hello"]}, "messages.1"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": ["hello"]}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": 7}]}]}, "messages.0.content"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 10**10}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": "2"}, "n"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": 7}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"audio": {"voice": "x"}}, "audio"),
        ({"models": ["dear"]}, "models"),
        ({"provider": {"order": ["dear"]}}, "provider"),
        ({"route": "fallback"}, "route"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"transforms": ["middle-out"]}, "transforms"),
    ],
)
def test_a_wrong_parameter_is_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusalError) as caught:
        ask(**more)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"model":"m","messages":NaN}', b"[" * 5000])
def test_what_is_no_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(RefusalError) as caught:
        parse_ask(text)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


def test_images_and_files_are_counted_over_all_messages() -> None:
    image, file, text = (
        {"type": "image_url", "image_url": {"url": "x"}},
        {"type": "file", "file": {}},
        {"type": "text", "text": "abc"},
    )
    request = ask(
        messages=[MESSAGE, {"role": "user", "content": [text, image, image]}, {"role": "user", "content": [image, file]}]
    )
    assert (request.messages, request.image_parts, request.file_parts) == (3, 3, 1)


def test_sound_is_found_wherever_it_is() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    said = {"role": "user", "content": [{"type": "text", "text": "abc"}, sound]}
    assert ask(messages=[MESSAGE]).audio is None
    assert ask(messages=[MESSAGE, said, MESSAGE]).audio == "messages.1.content.1"
    assert ask(messages=[{"role": "assistant", "audio": {"id": "a"}}]).audio == "messages.0.audio"


@pytest.mark.parametrize("declared", [False, True])
def test_sound_is_refused_unless_the_model_declares_that_it_costs_what_text_does(*, declared: bool) -> None:
    of = catalog([channel("a")], [model("m", "a", audio_input=declared)])
    health = Health(BreakerLimits(), lambda: 0.0)
    planner = Planner(lambda: of, lambda: NO_PRICES, health, Affinity(b"k" * 32, lambda: 0.0), lambda: 0.5)
    said = {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]}
    asked = ask(model="m", messages=[said])
    if declared:
        assert planner.plan(context(), asked, CHAT, begun=0.0, deadline_s=9).ask is asked
        return
    with pytest.raises(RefusalError) as caught:
        planner.plan(context(), asked, CHAT, begun=0.0, deadline_s=9)
    refused = (caught.value.status, caught.value.code, caught.value.param)
    assert refused == (400, "unsupported_parameter", "messages.0.content.0")


def test_the_bound_uses_the_models_own_image_bound() -> None:
    of = catalog([channel("a")], [model("gpt-4o", "a", image_tokens_bound=50_000)])
    request = ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    assert request.tokens_bound(of.models["gpt-4o"]) == request.body_bytes + 16 + 50_000


def test_a_model_that_declares_no_image_bound_gets_a_cautious_one() -> None:
    of = catalog([channel("a")], [model("gpt-4o", "a")])
    request = ask(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])
    assert request.tokens_bound(of.models["gpt-4o"]) - request.body_bytes - 16 >= 48_169


def test_the_prompt_estimate_counts_text_and_tools_and_no_image_bytes() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    parts = [{"type": "text", "text": "x" * 40}, {"type": "image_url", "image_url": {"url": "data:" + "A" * 4000}}]
    request = ask(messages=[{"role": "user", "content": parts}, {"role": "assistant", "content": None}], tools=tools)
    chars = 40 + len(orjson.dumps(tools))
    assert request.prompt_estimate(10**6) == -(-chars // 4) + 6
