"""However a stream of events is cut, the same events come out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.dialects.sse import EventSplitter, data_of

LINE_ENDS = st.sampled_from([b"\n", b"\r\n"])
TEXTS = st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b".").replace(b"\r", b"."))
LINES = st.tuples(st.sampled_from([b"data: ", b"data:", b": ", b"event: ", b"id:"]), TEXTS, LINE_ENDS).map(b"".join)
EVENTS = st.tuples(st.lists(LINES, min_size=1, max_size=4).map(b"".join), LINE_ENDS).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    at = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=30)))
    return [whole[begin:end] for begin, end in zip([0, *at], [*at, len(whole)], strict=True)]


@given(st.data(), st.lists(EVENTS, max_size=8), TEXTS)
def test_events_do_not_depend_on_where_the_bytes_are_cut(data: st.DataObject, events: list[bytes], rest: bytes) -> None:
    whole = b"".join(events) + rest
    splitter = EventSplitter()
    found = [event for part in data.draw(cut(whole)) for event in splitter.feed(part)]
    assert found == events
    assert splitter.rest == rest


@given(st.data(), st.binary(max_size=200))
def test_any_bytes_are_cut_alike_and_none_is_lost(data: st.DataObject, whole: bytes) -> None:
    at_once, in_parts = EventSplitter(), EventSplitter()
    events = at_once.feed(whole)
    assert [event for part in data.draw(cut(whole)) for event in in_parts.feed(part)] == events
    assert b"".join(events) + at_once.rest == whole
    assert in_parts.rest == at_once.rest


@given(st.lists(st.tuples(TEXTS, LINE_ENDS), min_size=1, max_size=4), LINE_ENDS)
def test_the_data_of_an_event_are_its_data_lines(lines: list[tuple[bytes, bytes]], end: bytes) -> None:
    event = b": comment" + end + b"".join(b"data: " + text + line_end for text, line_end in lines) + end
    assert data_of(event) == b"\n".join(text for text, _ in lines)
