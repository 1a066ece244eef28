"""Labels are what the client may say about a request, within bounds."""

from typing import Any

import pytest

from services.edge.errors import InvalidRequestError
from services.edge.labels import Labels, joining, parse_tags, read_labels

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_request_without_labels_has_none() -> None:
    assert read_labels({b"host": b"x"}) == Labels()


def test_every_label_is_read_from_its_header() -> None:
    headers = {
        b"x-tollbook-tags": b"feature=search,customer=acme",
        b"x-tollbook-run": b"run_1",
        b"x-request-id": b"order 4711",
        b"idempotency-key": b"k-1",
        b"traceparent": TRACE,
    }
    assert read_labels(headers) == Labels(
        tags={"feature": "search", "customer": "acme"},
        run_id="run_1",
        client_request_id="order 4711",
        idempotency_key="k-1",
        traceparent=TRACE.decode(),
    )


@pytest.mark.parametrize(
    ("raw", "tags"),
    [
        (b"a=b", {"a": "b"}),
        (b" a = b , c = d ", {"a": "b", "c": "d"}),
        (b"a=", {"a": ""}),
        (b"url=x=y", {"url": "x=y"}),
        ("stadt=Köln,城市=北京".encode(), {"stadt": "Köln", "城市": "北京"}),
        (b"n" * 64 + b"=" + b"v" * 256, {"n" * 64: "v" * 256}),
    ],
)
def test_tags_are_pairs_with_commas_between(raw: bytes, tags: dict[str, str]) -> None:
    assert parse_tags(raw) == tags


@pytest.mark.parametrize(
    "raw",
    [
        b"feature",
        b"=x",
        b"a=b,",
        b",",
        b"a=1,a=2",
        b"n" * 65 + b"=v",
        b"n=" + b"v" * 257,
        b",".join(b"t%d=v" % number for number in range(33)),
        b"a=\xff\xfe",
        b"a=\x00b",
        "a=\u202eb".encode(),
        "a\u2028b=c".encode(),
    ],
)
def test_tags_that_are_malformed_doubled_or_too_much_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        parse_tags(raw)
    assert (refused.value.status, refused.value.param) == (400, "x-tollbook-tags")


@pytest.mark.parametrize("header", [b"x-tollbook-run", b"x-request-id", b"idempotency-key"])
@pytest.mark.parametrize("value", [b"", b" ", b"x" * 129, b"a\x00b", "ü".encode(), b" padded"])
def test_a_label_that_is_not_short_and_printable_is_refused_by_its_name(header: bytes, value: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        read_labels({header: value})
    assert refused.value.param == header.decode()


@pytest.mark.parametrize("value", [b"x", TRACE.upper(), TRACE + b"-", b"00-short-00f067aa0ba902b7-01"])
def test_a_malformed_trace_is_as_if_there_were_none(value: bytes) -> None:
    assert read_labels({b"traceparent": value}).traceparent is None


@pytest.mark.parametrize(
    "payload", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": "run_id"}, {"metadata": {"a": "b"}}]
)
def test_metadata_without_a_run_changes_nothing(payload: dict[str, Any]) -> None:
    labels = Labels(run_id="run_1")
    assert joining(labels, payload) is labels


def test_metadata_names_the_run_where_the_header_does_not_or_names_the_same() -> None:
    payload = {"metadata": {"run_id": "run_1", "a": "b"}}
    assert joining(Labels(tags={"a": "b"}), payload) == Labels(tags={"a": "b"}, run_id="run_1")
    assert joining(Labels(run_id="run_1"), payload).run_id == "run_1"


@pytest.mark.parametrize("run_id", ["run_2", None, 7, "", " ", "run 1 ", "r\n", "r" * 129, "rün"])
def test_a_run_in_metadata_that_is_none_or_another_is_refused_by_its_name(run_id: Any) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        joining(Labels(run_id="run_1"), {"metadata": {"run_id": run_id}})
    assert (refused.value.status, refused.value.param) == (400, "metadata.run_id")
