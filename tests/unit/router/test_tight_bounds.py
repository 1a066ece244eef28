"""The tighter bound is a bound too: no prompt of the corpus is billed for more, and most need a fraction of the bytes."""

from __future__ import annotations

import asyncio
import base64
import struct
import threading
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.calls import HoldRefusal
from services.router.ask import Ask, parse_ask
from services.router.call import Call
from services.router.catalog import Model
from services.router.clients.embeddings import Embeddings
from services.router.clients.messages import Messages
from services.router.clients.responses import Responses
from services.router.images import Image, image_tokens, size_of
from services.router.plan import make_plan
from services.router.prompt_parts import parts_of
from services.router.tightening import TOKENS_PER_TEXT, Tightener, tight_bound, written_bytes
from services.router.tokenizers import count
from services.router.vocabularies import KNOWN, vocabulary_of
from tests.unit.router.prompts import CODE, ENGLISH, billed, bodies, real_tokens, texts
from tests.unit.router.things import HOLD_ID, catalog, channel, context, model

OPENAI = ("o200k_base", "cl100k_base")


def of(upstream_model: str, **more: Any) -> Model:
    row = {**model("m", "a"), "max_input_tokens": 128_000, "image_tokens_bound": 50_000, **more}
    row["candidates"] = [{"channel": "a", "upstream_model": upstream_model}]
    return catalog([channel("a")], [row]).models["m"]


MODELS = {"o200k_base": of("gpt-4o"), "cl100k_base": of("gpt-4-turbo")}


def tight(ask: Ask, by: Model) -> int:
    return tight_bound(ask, by, parts_of(ask.native or ask.body))


@pytest.mark.parametrize("vocabulary", OPENAI)
def test_counts_are_those_of_another_library(vocabulary: str) -> None:
    for text in texts():
        assert count(vocabulary, text) == real_tokens(vocabulary, text), text[:60]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_counts_are_those_of_another_library_for_any_text(text: str) -> None:
    for vocabulary in OPENAI:
        assert count(vocabulary, text) == real_tokens(vocabulary, text)


@pytest.mark.parametrize("vocabulary", OPENAI)
def test_no_prompt_of_the_corpus_is_billed_for_more_than_its_bounds(vocabulary: str) -> None:
    by = MODELS[vocabulary]
    for body in bodies():
        for raw in (orjson.dumps(body), escaped(body)):
            ask = parse_ask(raw)
            assert billed(body, vocabulary) <= tight(ask, by) <= ask.tokens_bound(by)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=400), min_size=1, max_size=6))
def test_no_prompt_at_all_is(said: list[str]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": text} for text in said]}
    ask = parse_ask(orjson.dumps(body))
    for vocabulary, by in MODELS.items():
        assert billed(body, vocabulary) <= tight(ask, by) <= ask.tokens_bound(by)


def escaped(body: dict[str, Any]) -> bytes:
    """The body with every character beyond ASCII written as an escape."""
    import json

    return json.dumps(body).encode()


@pytest.mark.parametrize("text", ["账本是货币的唯一权威。" * 200, "Книга — единственный авторитет. " * 99, "🙂" * 300])
def test_the_clients_way_of_writing_json_changes_no_tight_bound(text: str) -> None:
    said = [{"role": "user", "content": text}]
    chat = {"model": "m", "max_tokens": 9, "messages": said}
    asks = ((parse_ask, chat), (Messages().parse, chat), (Responses().parse, {"model": "m", "input": said}))
    for parse, body in (*asks, (Embeddings().parse, {"model": "m", "input": [text, text]})):
        plain, ascii_only = parse(orjson.dumps(body)), parse(escaped(body))
        by = MODELS["cl100k_base"]
        assert ascii_only.tokens_bound(by) > plain.tokens_bound(by)
        assert tight(ascii_only, by) == tight(plain, by)


async def test_an_escaped_text_is_counted_where_its_bytes_as_written_would_make_it_payable() -> None:
    text = "Книга — единственный авторитет в деньгах. " * 99
    call = call_of(text, MODELS["o200k_base"], escape=True)
    plain = call_of(text, MODELS["o200k_base"])
    tightener = Tightener()
    assert not await tightener.helps(plain, refusal(left=10, needed=250))
    assert not await tightener.helps(call, refusal(left=10, needed=900))
    assert await tightener.helps(call, refusal(left=10, needed=250))
    assert call.tokens_bound < len(text) // 2


def test_a_body_too_deep_to_be_written_again_keeps_its_bytes() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    ask = parse_ask(escaped({"model": "m", "messages": [{"role": "user", "content": ENGLISH}], "metadata": deep}))
    assert written_bytes(ask) == ask.body_bytes


@pytest.mark.parametrize(("text", "share"), [(ENGLISH * 40, 0.27), (CODE * 40, 0.31), ("账本是货币的唯一权威。" * 200, 0.35)])
def test_a_long_text_needs_a_fraction_of_its_bytes(text: str, share: float) -> None:
    ask = parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}))
    assert tight(ask, MODELS["o200k_base"]) < share * ask.tokens_bound(MODELS["o200k_base"])


@pytest.mark.parametrize("text", ["a short line of text here", "yes", "", "账本是货币的唯一权威。"])
def test_many_short_messages_need_little_more_than_their_tokens_and_what_stands_around_them(text: str) -> None:
    said = [{"role": "assistant" if turn % 2 else "user", "content": text} for turn in range(201)]
    body = {"model": "m", "max_tokens": 16, "messages": said}
    items = Responses().parse(orjson.dumps({"model": "m", "input": said}))
    for ask in (parse_ask(escaped(body)), Messages().parse(orjson.dumps(body)), items):
        for vocabulary, by in MODELS.items():
            tokens = 201 * min(real_tokens(vocabulary, text) + TOKENS_PER_TEXT, len(text.encode()))
            assert billed(body, vocabulary) < tight(ask, by) <= tokens + 201 * 17 + 80


def test_only_so_many_short_texts_are_counted_and_the_rest_stay_at_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"model": "m", "input": ["a short line of text here"] * 30 + [ENGLISH]}
    ask = Embeddings().parse(orjson.dumps(body))
    whole = tight(ask, MODELS["cl100k_base"])
    monkeypatch.setattr("services.router.prompt_parts.SHORT_TEXTS_MAX", 10)
    assert len(parts_of(body).texts) == 11
    assert whole < tight(ask, MODELS["cl100k_base"]) < ask.tokens_bound(MODELS["cl100k_base"])
    assert parts_of({"input": list(range(99))}) == ([], [], [], 0)


def test_the_clients_apis_are_counted_alike() -> None:
    text = ENGLISH * 20
    tools = [{"name": "f", "description": text, "input_schema": {"type": "object"}}]
    asks = [
        parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": text}]})),
        Messages().parse(
            orjson.dumps({"model": "m", "max_tokens": 9, "system": text, "messages": [{"role": "user", "content": "hi"}]})
        ),
        Messages().parse(
            orjson.dumps({"model": "m", "max_tokens": 9, "tools": tools, "messages": [{"role": "user", "content": "hi"}]})
        ),
        Responses().parse(orjson.dumps({"model": "m", "input": text})),
        Responses().parse(orjson.dumps({"model": "m", "instructions": text, "input": "hi"})),
        Responses().parse(
            orjson.dumps({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]})
        ),
    ]
    real = real_tokens("o200k_base", text)
    for ask in asks:
        assert real < tight(ask, MODELS["o200k_base"]) < real + len(text) // 4 + 300 < ask.tokens_bound(MODELS["o200k_base"])


def test_arguments_and_schemas_stay_at_their_bytes() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": orjson.dumps({"text": ENGLISH * 9}).decode()}}
    body = {"model": "m", "messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    assert parts_of(body) == ([], [], [], 0)
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"text": ENGLISH * 9, "content": ENGLISH * 9}}
    assert parts_of({"messages": [{"role": "assistant", "content": [block]}]}) == ([], [], [], 0)


def test_a_deep_request_costs_no_recursion() -> None:
    deep: Any = ENGLISH
    for _ in range(5_000):
        deep = {"content": [deep]}
    assert parts_of({"messages": [deep], "tools": [deep]}).texts == [ENGLISH]


def test_a_vocabulary_that_nobody_knows_leaves_the_bytes_unless_a_margin_is_declared() -> None:
    ask = parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": ENGLISH * 40}]}))
    bare, margin, forced = of("claude-x"), of("claude-x", unknown_tokens_percent=150), of("gpt-4o", tokenizer="unknown")
    assert tight(ask, bare) == ask.tokens_bound(bare) == tight(ask, forced)
    most = max(count(each, ENGLISH * 40) for each in KNOWN)
    assert most * 3 // 2 < tight(ask, margin) < ask.tokens_bound(margin)
    assert tight(ask, of("my-model", tokenizer="o200k_base")) == tight(ask, MODELS["o200k_base"])


@pytest.mark.parametrize(
    ("name", "vocabulary"),
    [
        *(
            ("gpt-4o", "o200k_base"),
            ("gpt-4o-mini-2024-07-18", "o200k_base"),
            ("gpt-5.1", "o200k_base"),
            ("o3-mini", "o200k_base"),
        ),
        *(("gpt-4", "cl100k_base"), ("gpt-4-turbo", "cl100k_base"), ("text-embedding-3-small", "cl100k_base")),
        *(("gpt-40", None), ("gpt-6", None), ("claude-sonnet-5", None), ("openai/gpt-4o", None), ("o200", None), ("", None)),
    ],
)
def test_a_vocabulary_is_known_by_documented_names_alone(name: str, vocabulary: str | None) -> None:
    assert vocabulary_of(name) == vocabulary


def png(width: int, height: int, padding: int = 0) -> str:
    """A PNG of that size, as far as a header tells."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk + bytes(padding)).decode()


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [
        *(("gpt-4o", (1024, 1024), 765), ("gpt-4o", (2048, 4096), 1105), ("gpt-4o", (512, 512), 255), ("gpt-4o", (1, 1), 255)),
        *(("gpt-4o-mini", (512, 512), 8500), ("gpt-4o-mini", (4096, 8192), 36_835), ("gpt-5-2025-08-07", (1024, 1024), 630)),
        *(("gpt-4.1-mini", (1024, 1024), 1659), ("gpt-4.1-mini", (1800, 2400), 2489), ("o4-mini", (320, 320), 172)),
        *(("claude-sonnet-5", (10, 10), 50_000), ("my-gpt-4o", (10, 10), 50_000), ("gpt-4o-audio", (10, 10), 50_000)),
    ],
)
def test_an_image_counts_by_the_documented_rule_of_its_model(name: str, size: tuple[int, int], tokens: int) -> None:
    assert image_tokens(name, Image(png(*size)), 50_000) == tokens


@pytest.mark.parametrize("width", range(1, 9000, 731))
@pytest.mark.parametrize("height", [1, 511, 512, 513, 767, 768, 769, 2047, 2048, 2049, 8000])
def test_no_size_costs_more_than_the_largest_image(width: int, height: int) -> None:
    assert image_tokens("gpt-4o", Image(png(width, height)), 10**6) <= 85 + 8 * 170
    assert image_tokens("gpt-4o-mini", Image(png(width, height)), 10**6) <= 2833 + 8 * 5667


@pytest.mark.parametrize(
    "address",
    [
        *("https://example.com/a.png", "data:image/png;base64,", "data:image/png;base64,AAAA", "data:image/png;base64,@@@@"),
        *("data:image/svg+xml;base64,PHN2ZyB3aWR0aD0iMSIgaGVpZ2h0PSIxIi8+", "data:text/plain;base64,iVBORw0KGgo=", ""),
        *("data:image/jpeg;base64,/9j/4AAQ", "data:image/webp;base64,UklGRgAAAABXRUJQ", png(0, 10), png(100_000, 10)),
        "data:image/gif;base64," + base64.b64encode(b"GIF89a").decode(),
    ],
)
def test_an_image_whose_size_is_not_plain_keeps_the_declared_bound(address: str) -> None:
    assert size_of(address) is None
    assert image_tokens("gpt-4o", Image(address), 3_000) == 3_000


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBP"])
def test_no_bytes_break_the_reading_of_a_size(data: bytes) -> None:
    for tail in range(0, 256, 5):
        body = data + bytes((tail + i * 37) % 256 for i in range(400))
        found = size_of("data:image/png;base64," + base64.b64encode(body).decode())
        assert found is None or (found.width > 0 and found.height > 0)


def test_an_image_s_data_does_not_count_beside_the_image() -> None:
    part = {"type": "image_url", "image_url": {"url": png(1024, 1024, padding=300_000)}}
    ask = parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}))
    assert ask.tokens_bound(MODELS["o200k_base"]) > 400_000
    assert 765 < tight(ask, MODELS["o200k_base"]) < 1_000
    source = {"type": "base64", "media_type": "image/png", "data": png(9, 9, padding=300_000).partition(",")[2]}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]}
    native = Messages().parse(orjson.dumps(body))
    assert 50_000 < tight(native, MODELS["o200k_base"]) < 50_500


def test_a_file_keeps_the_whole_context() -> None:
    part = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    ask = parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}))
    assert tight(ask, MODELS["o200k_base"]) > 128_000


def call_of(text: str, by: Model, *, escape: bool = False) -> Call:
    ask = parse_ask((escaped if escape else orjson.dumps)({"model": "m", "messages": [{"role": "user", "content": text}]}))
    row = {**model("m", "a"), "max_input_tokens": by.max_input_tokens}
    row["candidates"] = [{"channel": "a", "upstream_model": by.places[0].upstream_model}]
    plan = make_plan(catalog([channel("a")], [row]), "m", context().policy, lambda _: None, lambda: 0.5)
    return Call(context(), ask, plan, begun=0.0, deadline_s=10)


def refusal(code: str = "insufficient_balance", left: int | None = 5, needed: int = 10) -> HoldRefusal:
    return HoldRefusal(hold_id=HOLD_ID, http_status=402, code=code, message="", needed_nano=needed, left_nano=left)


@pytest.mark.parametrize("repeats", [4, 400])
async def test_a_refusal_for_money_is_asked_again_once_and_other_refusals_never(repeats: int) -> None:
    tightener = Tightener()
    call = call_of(ENGLISH * repeats, MODELS["o200k_base"])
    loose = call.tokens_bound
    for hopeless in (refusal("key_frozen"), refusal("no_price"), refusal(left=0), refusal(left=-7), refusal(needed=81)):
        assert not await tightener.helps(call, hopeless)
    assert call.tokens_bound == loose
    assert await tightener.helps(call, refusal())
    assert call.tokens_bound < loose / 2
    assert not await tightener.helps(call, refusal())


async def test_a_bound_beyond_the_context_is_tightened_before_it_is_held() -> None:
    tightener = Tightener()
    small, large = call_of(ENGLISH, of("gpt-4o")), call_of(ENGLISH * 2_000, of("gpt-4o"))
    before = (small.tokens_bound, large.tokens_bound)
    await tightener.fit(small)
    await tightener.fit(large)
    assert small.tokens_bound == before[0]
    assert large.tokens_bound < 128_000 < before[1]


async def test_long_texts_are_counted_beside_the_loop_and_short_ones_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noting(vocabulary: str, text: str) -> int:
        threads.append(threading.get_ident())
        return count(vocabulary, text)

    monkeypatch.setattr("services.router.tightening.count", noting)
    tightener = Tightener()
    assert await tightener.helps(call_of(ENGLISH * 4, MODELS["o200k_base"]), refusal())
    assert threads == [threading.get_ident()]
    long = [call_of(ENGLISH * 1_000, MODELS["o200k_base"]) for _ in range(4)]
    assert all(await asyncio.gather(*(tightener.helps(call, refusal()) for call in long)))
    assert len(threads) == 5
    assert threading.get_ident() not in threads[1:]


def test_the_largest_text_is_left_to_its_bytes() -> None:
    ask = parse_ask(orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 1_700_000}]}))
    assert tight(ask, MODELS["o200k_base"]) == ask.tokens_bound(MODELS["o200k_base"])
