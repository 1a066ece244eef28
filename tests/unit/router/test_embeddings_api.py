"""Embeddings as clients ask for them: over OpenAI's own format and over Gemini's."""

import base64
import json
import struct
from typing import Any

import orjson
import pytest

from schemas.money import Usage
from services.router.ask import Ask
from services.router.clients.embeddings import Embeddings
from services.router.dialects.known import DIALECTS
from services.router.dialects.openai import Reply
from services.router.errors import RefusalError, UpstreamError
from services.router.plain import price
from tests.unit.router.things import call, catalog, channel, model

API, OPENAI, ANTHROPIC, GEMINI = (Embeddings(), *(DIALECTS["embedding"][name] for name in ("openai", "anthropic", "gemini")))
COST: dict[str, Any] = {"cost": "0.5", "currency": "USD", "bucket": "credit"}
VECTORS = [{"object": "embedding", "index": index, "embedding": [0.5, -0.25]} for index in range(2)]
REPLY = {"object": "list", "data": VECTORS, "model": "m-large", "usage": {"prompt_tokens": 7, "total_tokens": 7}}


def parsed(**fields: Any) -> Ask:
    """The ask of a request."""
    return API.parse(orjson.dumps({"model": "m", "input": ["a", "b"], **fields}))


def sent(dialect: Any, **fields: Any) -> Any:
    """What goes to a provider."""
    return json.loads(dialect.request_body(parsed(**fields), "m-large", 0))


def plain(reply: Reply, **fields: Any) -> Any:
    """What a client gets."""
    usage = {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7, **COST}
    return json.loads(API.plain(parsed(**fields), reply, {**reply.document, "usage": usage}, COST))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": ["a", [1]]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [[1.5]]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"dimensions": 10**9}, "dimensions"),
        ({"stream": True}, "stream"),
        ({"provider": {"order": ["x"]}}, "provider"),
    ],
)
def test_a_request_that_is_none_is_refused_by_the_parameter(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RefusalError) as refused:
        parsed(**fields)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("given", "inputs", "estimate", "counted"),
    [("hello there", 1, 3, False), (["hello", "you"], 2, 3, False), ([7, 100_000, 3], 1, 3, True), ([[1, 2], [3]], 2, 3, True)],
)
def test_a_request_is_bounded_by_its_tokens_or_its_bytes_and_asks_for_no_output(
    given: Any, inputs: int, estimate: int, *, counted: bool
) -> None:
    ask = parsed(input=given)
    of = catalog([channel("c")], [model("m", "c", mode="embedding", max_output_tokens=0)]).models["m"]
    assert (ask.mode, ask.cap, ask.messages, ask.client_api) == ("embedding", 0, inputs, "embeddings")
    assert ask.tokens_bound(of) == (estimate if counted else ask.body_bytes + 16 * inputs)
    assert ask.prompt_estimate(10**6) == estimate
    assert ask.prompt_estimate(2) == 2


def test_openais_format_gets_the_clients_own_body() -> None:
    assert sent(OPENAI, dimensions=2, something_new=1) == {
        "model": "m-large", "input": ["a", "b"], "dimensions": 2, "something_new": 1,
    }  # fmt: skip


@pytest.mark.parametrize("given", ["a", ["a"]])
def test_geminis_format_gets_a_request_for_each_input(given: Any) -> None:
    request = {"model": "models/m-large", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 2}
    assert sent(GEMINI, input=given, dimensions=2, encoding_format="base64", user="u") == {"requests": [request]}


@pytest.mark.parametrize(
    ("dialect", "fields", "param"),
    [
        (GEMINI, {"input": [1, 2]}, "input"),
        (GEMINI, {"input": ["a"] * 101}, "input"),
        (GEMINI, {"something_new": 1}, "something_new"),
        (ANTHROPIC, {}, "model"),
    ],
)
def test_what_a_provider_cannot_embed_is_refused_by_name_and_another_may_be_asked(
    dialect: Any, fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(UpstreamError) as refused:
        sent(dialect, **fields)
    assert refused.value.verdict == "next"
    assert json.loads(refused.value.body)["error"]["param"] == param


def test_a_reply_has_its_vectors_its_usage_and_what_it_cost() -> None:
    reply = OPENAI.read_reply(orjson.dumps(REPLY))
    assert (reply.usage, reply.model) == (Usage(input_tokens=7), "m-large")
    usage: dict[str, Any] = {"prompt_tokens": 7, "total_tokens": 7, **COST}
    assert plain(reply) == {**REPLY, "usage": usage}


def test_geminis_vectors_are_listed_as_openais_and_packed_where_that_is_wanted() -> None:
    body = {"embeddings": [{"values": [0.5, -0.25]}] * 2, "usageMetadata": {"promptTokenCount": 7}}
    reply = GEMINI.read_reply(orjson.dumps(body))
    assert reply.usage == Usage(input_tokens=7)
    assert plain(reply)["data"] == VECTORS
    packed = plain(reply, encoding_format="base64")["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(packed)) == (0.5, -0.25)


def test_vectors_that_are_packed_already_stay_as_they_are() -> None:
    data = [{"object": "embedding", "index": index, "embedding": "AAAA"} for index in range(2)]
    reply = OPENAI.read_reply(orjson.dumps({**REPLY, "data": data}))
    assert plain(reply, encoding_format="base64")["data"] == data


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "7"}])
def test_without_a_report_the_usage_is_estimated(usage: Any) -> None:
    asked = parsed(input=["hello", "you"])
    made = call(catalog([channel("c")], [model("m", "c", mode="embedding", max_output_tokens=0)]), asked)
    made.api = API
    priced = price(made, made.begin(0, 0, 100.0), OPENAI.read_reply(orjson.dumps({**REPLY, "usage": usage})))
    assert (priced.usage, priced.source) == (Usage(input_tokens=3), "estimated")
    assert json.loads(priced.body)["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":[]}',
        b'{"data":[1]}',
        b'{"data":[{"embedding":null}]}',
        b'{"data":[{"embedding":["x"]}]}',
        b'{"data":[{"embedding":[]}]}',
    ],
)
def test_what_is_no_list_of_vectors_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamError) as failure:
        OPENAI.read_reply(body)
    assert failure.value.error_class == "malformed_reply"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"embeddings":[{}]}', b'{"embeddings":[]}', b'{"embeddings":5}'])
def test_what_is_no_batch_of_embeddings_is_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamError) as failure:
        GEMINI.read_reply(body)
    assert failure.value.error_class == "malformed_reply"


@pytest.mark.parametrize("vector", [[1e60, 0.0], [0.5]])
def test_another_number_of_vectors_or_no_floats_are_malformed_before_anything_is_charged(vector: list[float]) -> None:
    data = [{"embedding": vector}] * (2 if len(vector) == 2 else 3)
    with pytest.raises(TypeError):
        plain(OPENAI.read_reply(orjson.dumps({**REPLY, "data": data})), encoding_format="base64")
