"""What a call may need of a minute, how long it would have to wait, and what replies say about it."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.edge.model_apis import CHAT_COMPLETIONS, EMBEDDINGS, MESSAGES, RESPONSES, ModelApi
from services.edge.pace import Estimate, Standing, Standings, Window, estimate, wait_s

TEXT = "x" * 4000


def estimated(payload: dict[str, Any], api: ModelApi = CHAT_COMPLETIONS) -> Estimate:
    return estimate(payload, orjson.dumps(payload), api.output_caps)


def asking(content: object, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


@pytest.mark.parametrize(
    ("more", "output"),
    [
        ({}, None),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 70, "max_tokens": 100}, 100),
        ({"max_completion_tokens": 30}, 30),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"max_tokens": 100, "n": 10**9}, 12_800),
        ({"max_tokens": True}, None),
        ({"max_tokens": "many"}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 100, "n": "x"}, 100),
    ],
)
def test_the_output_counts_by_the_clients_cap(more: dict[str, Any], output: int | None) -> None:
    assert estimated(asking("hi", **more)).output == output


@pytest.mark.parametrize(
    ("api", "own"), [(CHAT_COMPLETIONS, "max_tokens"), (MESSAGES, "max_tokens"), (RESPONSES, "max_output_tokens")]
)
def test_no_cap_of_another_api_makes_a_call_look_small(api: ModelApi, own: str) -> None:
    others = {"max_tokens": 1, "max_completion_tokens": 1, "max_output_tokens": 1}
    assert estimated(asking("hi", **(others | {own: 900})), api).output == 900
    foreign = {name: 1 for name in others if name not in api.output_caps}
    assert estimated(asking("hi", **foreign), api).output is None


def test_embeddings_have_no_output() -> None:
    assert estimated({"model": "m", "input": TEXT, "max_tokens": 5}, EMBEDDINGS).output == 0


def test_a_prompt_counts_by_its_characters_whatever_their_script() -> None:
    english, chinese = estimated(asking(TEXT)).prompt, estimated(asking("账" * 4000)).prompt
    assert 1000 <= english <= 1050
    assert 4000 <= chinese <= 4050


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + TEXT * 100}},
        {"type": "input_image", "image_url": "data:image/png;base64," + TEXT * 100},
        {"type": "image", "source": {"type": "base64", "data": TEXT * 100}},
        {"type": "file", "file": {"file_data": TEXT * 100}},
    ],
)
def test_a_picture_in_the_body_counts_as_a_picture_and_not_as_its_bytes(part: dict[str, Any]) -> None:
    told = estimated(asking([{"type": "text", "text": "what is this?"}, part])).prompt
    assert 1500 <= told <= 1600
    assert estimated({"model": "m", "input": [{"role": "user", "content": [part]}]}).prompt <= 1600


def test_what_is_no_list_of_messages_is_no_reason_to_stumble() -> None:
    for payload in ({"messages": 7}, {"messages": [7, {"content": [7, {"type": 7}]}]}, {"input": {"a": 1}}, {"input": "text"}):
        assert estimated(payload).prompt > 0


@pytest.mark.parametrize(
    ("need", "limit", "counted"),
    [
        (Estimate(100, 50), 1000, 150),
        (Estimate(100, None), 1000, 350),
        (Estimate(100, None), 1_000_000, 4196),
        (Estimate(5000, 50), 1000, 1000),
        (Estimate(0, 0), 10, 0),
    ],
)
def test_a_long_prompt_or_an_uncapped_output_never_shuts_a_call_out_for_good(need: Estimate, limit: int, counted: int) -> None:
    assert need.within(limit) == counted


@pytest.mark.parametrize(
    ("window", "cost", "waits"),
    [
        (Window(0, 0, 0, 0), 10, 0.0),
        (Window(0, 0, 5, 90), 5, 0.0),
        (Window(10, 60, 0, 120), 1, 6.0),
        (Window(10, 30, 4, 90), 1, 0.0),
        (Window(10, 60, 0, 120), 10, 60.0),
        (Window(0, 0, 10, 90), 1, 36.0),
        (Window(0, 0, 10, 90), 10, 90.0),
    ],
)
def test_the_wait_ends_when_enough_has_worn_off(window: Window, cost: int, waits: float) -> None:
    assert wait_s(10, window, cost) == pytest.approx(waits)


def test_the_tightest_counter_is_the_one_that_is_told() -> None:
    standings = Standings()
    standings.meet("requests", Standing(100, 40, 3.0))
    standings.meet("requests", Standing(10, 7, 61.5))
    standings.meet("requests", Standing(1000, 900, 1.0))
    assert dict(standings.headers()) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"7",
        b"x-ratelimit-reset-requests": b"1m1.5s",
    }


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, b"0s"), (0.25, b"250ms"), (1.0, b"1s"), (59.9999, b"1m0s"), (12.5, b"12.5s")]
)
def test_resets_are_written_as_openai_writes_them(seconds: float, text: bytes) -> None:
    standings = Standings(tokens=Standing(10, 7, seconds))
    assert dict(standings.headers())[b"x-ratelimit-reset-tokens"] == text


def test_anthropics_clients_are_told_under_anthropics_names_with_instants() -> None:
    told = dict(Standings(tokens=Standing(1000, 7, 30.2)).anthropic_headers(datetime(2026, 11, 25, 12, tzinfo=UTC)))
    assert told == {
        b"anthropic-ratelimit-tokens-limit": b"1000",
        b"anthropic-ratelimit-tokens-remaining": b"7",
        b"anthropic-ratelimit-tokens-reset": b"2026-11-25T12:00:31Z",
    }
