"""A route table is taken whole or refused with the line, the name and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.bounds import IMAGE_TOKENS
from services.router.errors import TableRejectedError
from services.router.table import TABLE_BYTES_MAX, RouteTable, parse_table

CATALOG = Path(__file__).parents[3] / "deploy" / "catalog" / "routes.yaml"
CHANNEL = (
    "{id: a, route_type: direct, brand: b, dialect: openai, base_url: 'https://a.example.com/v1', keys: [{secret: s3cr3t}]%s}"
)
MODEL = "{id: m, owned_by: o, max_input_tokens: 10, max_output_tokens: 10, candidates: [{channel: %s, upstream_model: m}]}"


def table(channel: str = CHANNEL % "", model: str = MODEL % "a") -> bytes:
    return f"version: 1\nchannels:\n  - {channel}\nmodels:\n  - {model}\n".encode()


def of_model(more: str, of_candidate: str = "weight: null") -> str:
    return (MODEL % "a").replace("id: m", f"id: m, {more}").replace("channel: a", f"channel: a, {of_candidate}")


def test_the_demo_catalog_is_a_valid_table() -> None:
    parsed = parse_table(CATALOG.read_bytes())
    assert {channel.id for channel in parsed.channels} == {
        "openai-main", "openai-backup", "anthropic-main", "gemini-main", "pool-a", "pool-b",
    }  # fmt: skip


def test_the_demo_catalog_bounds_the_largest_image_of_each_model() -> None:
    models = parse_table(CATALOG.read_bytes()).models
    bounds = {model.id: model.image_tokens_bound for model in models if model.mode == "chat"}
    assert bounds.pop("gpt-4o-mini") >= 2_833 + 8 * 5_667
    # How Gemini cuts a large image into tiles depends on its shape: the bound is the one of a model that declares none.
    assert bounds.pop("gemini-2.5-flash") == IMAGE_TOKENS
    assert set(bounds.values()) == {3_000}


@pytest.mark.parametrize(("mode", "most"), [("embedding", 1), ("chat", 0), ("speech", 1)])
def test_a_chat_model_has_output_and_an_embedding_model_has_none(mode: str, most: int) -> None:
    row = (MODEL % "a").replace("max_output_tokens: 10", f"max_output_tokens: {most}, mode: {mode}")
    assert f"mode: {mode}" in row
    with pytest.raises(TableRejectedError):
        parse_table(table(model=row))


def test_json_is_as_good_as_yaml() -> None:
    text = b'{"version":1,"channels":[],"models":[]}'
    assert parse_table(text).models == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table(CHANNEL % ", cost_factor: '-1'"), "line 3, channel a: cost_factor: '-1' is not a factor"),
        (table(CHANNEL % ", colour: red"), "line 3, channel a: colour: Extra inputs are not permitted"),
        (table(CHANNEL.replace("direct", "sideways") % ""), "line 3, channel a: route_type"),
        (table(CHANNEL.replace("{secret: s3cr3t}", "{}") % ""), "channel a: keys.0: a key has either secret or secret_env"),
        (
            table(CHANNEL.replace("{secret: s3cr3t}", "{secret: s3cr3t}, {secret_env: DATABASE_URL}") % ""),
            "line 3, channel a: keys.1.secret_env: DATABASE_URL is a variable of router's own",
        ),
        (
            table(CHANNEL.replace("s3cr3t", r'"s3cr3t\n"') % ""),
            "line 3, channel a: keys.0.secret: the secret has a space at an end",
        ),
        (table(CHANNEL.replace("s3cr3t", "s3cr\u00e9t") % ""), "channel a: keys.0.secret: the secret has a space at an end"),
        (table(model=MODEL % "ghost"), "model m: candidate names the unknown channel ghost"),
        (
            table(model=(MODEL % "a").replace("max_output_tokens: 10", "max_output_tokens: 0")),
            "line 5, model m: max_output_tokens",
        ),
        (table(model=of_model("strategy: luckiest")), "model m: strategy: Input should be 'priority', 'weighted', 'cheapest'"),
        (
            table(model=of_model("strategy: cheapest", "weight: 3")),
            "model m: candidate a has a weight, which the strategy cheapest does not use: leave it out, or",
        ),
        (
            table(model=of_model("explore_percent: 5")),
            "model m: explore_percent counts for the strategy fastest alone: leave it out, or set strategy: fastest",
        ),
        (table(model=of_model("sticky: {seconds: 0}")), "line 5, model m: sticky.seconds"),
        (table(model=of_model("sticky: {seconds: 9, by: [mood]}")), "model m: sticky.by.0"),
        (table(model=of_model("sticky: {seconds: 9, by: [user, user]}")), "model m: sticky.by: name each of them once"),
        (table(CHANNEL % ", limits: {}"), "channel a: limits: give requests_per_minute, tokens_per_minute or concurrency"),
        (table(CHANNEL % ", limits: {concurrency: 0}"), "line 3, channel a: limits.concurrency"),
        (b"channels: [\n", "neither YAML nor JSON"),
        (b"\xff\xfe", "neither YAML nor JSON"),
        (b"a: !!timestamp x", "neither YAML nor JSON: line 1, column 4: tags other than !!str are not read"),
        (b"a: !!int x", "neither YAML nor JSON"),
        (b"a: !!bool x", "neither YAML nor JSON"),
        (b"a: 0x" + b"f" * 5000, "line 1"),
        (b"{[]: 1}", "neither YAML nor JSON"),
        (b"<<: 1", "neither YAML nor JSON"),
        (b"[" * 5000, "neither YAML nor JSON: line 1, column"),
        (b"[" * 500, "neither YAML nor JSON: line 1, column 33: lists and mappings stand within each other more"),
        (b"just text", "line 1: this is no route table: a table has channels and models"),
        (b"", "line 1: the file is empty: a table has channels and models"),
        (b"# nothing yet\n", "line 1: the file is empty: a table has channels and models"),
        (table(channel="just text"), "line 3, channel 1: write fields here"),
        (table(channel=CHANNEL.replace("[{secret: s3cr3t}]", "OPENAI") % ""), "line 3, channel a: keys: write a list here"),
        (table(CHANNEL % ", limits: {concurrency: '5'}"), "channel a: limits.concurrency: write a whole number here, without"),
        (table(CHANNEL % ", priority: true"), "line 3, channel a: priority: write a whole number here, without quotes"),
        (table(CHANNEL % ", weight: 2.0"), "line 3, channel a: weight: write a whole number here, without quotes"),
        (table() + b"channels: []\n", "line 6: channels stands twice in the same place: leave one of them out"),
        (b'{"version": 1, "channels": [],\n"channels": [], "models": []}', "line 2: channels stands twice in the same place"),
        (table(CHANNEL % ", brand: c"), "line 3: brand stands twice in the same place"),
        (table(CHANNEL.replace("{secret: s3cr3t}", "{s3cr3t, s3cr3t}") % ""), "line 3: a name stands twice in the same place"),
        (b"models: &m [*m]\nmodels: []\nchannels: []", "line 1, column 13: aliases (*name) are not read: write every"),
        (b" " * (TABLE_BYTES_MAX + 1), "at most"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, said: str) -> None:
    with pytest.raises(TableRejectedError) as caught:
        parse_table(text)
    assert said in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_an_id_is_declared_once() -> None:
    twice = table().replace(b"models:", b"  - " + (CHANNEL % "").encode() + b"\nmodels:")
    with pytest.raises(TableRejectedError, match="channel a is declared twice"):
        parse_table(twice)


def test_no_message_repeats_a_secret() -> None:
    wrong = table((CHANNEL % "").replace("{secret: s3cr3t}", "{secret: s3cr3t, secret_env: NAME}, {secret: [s3cr3t]}"))
    with pytest.raises(TableRejectedError) as caught:
        parse_table(wrong)
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in repr(parse_table(table()))


PIECES = [
    "channels",
    "models",
    ":",
    "-",
    "[",
    "]",
    "{",
    "}",
    ",",
    "!!int",
    "!!bool",
    "!!timestamp",
    "&a",
    "*a",
    "<<",
    "=",
    "?",
    "0x",
    "1:9",
    "2026-13-45",
    ".inf",
    "'",
    '"',
    "|",
    "%",
    "---",
    "\x00",
    "\ufeff",
    "x",
]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from([*PIECES, "\n", " ", ": ", "- "])).map("".join))


@given(text=TEXTS)
def test_any_text_is_a_table_or_a_refusal(text: str) -> None:
    try:
        found: object = parse_table(text.encode("utf-8", "replace"))
    except TableRejectedError as refused:
        found = refused
    assert isinstance(found, RouteTable | TableRejectedError)


@pytest.mark.parametrize("value", ['!!int ""', "!!bool x", "2026-13-45", "0x_", "[" * 20_000])
def test_a_value_that_breaks_a_loader_is_a_refusal(value: str) -> None:
    with pytest.raises(TableRejectedError, match="neither YAML nor JSON"):
        parse_table(f"channels: {value}".encode())
