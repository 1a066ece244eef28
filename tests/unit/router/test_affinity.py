"""What a prompt cache may know is recognised by a hash, remembered for its time, and forgotten with its channel."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from services.router.affinity import Affinity, Trace
from services.router.ask import Ask, parse_ask
from services.router.breaker import BreakerLimits
from services.router.cache_traces import trace_of
from services.router.catalog import Catalog
from services.router.clients.messages import Messages
from services.router.health import Health
from services.router.table import StickyBy
from tests.unit.router.test_health import Clock
from tests.unit.router.things import ask, body, catalog, channel, model

SECRET = b"k" * 32
EVERY: tuple[StickyBy, ...] = ("prompt_cache_key", "cache_control", "user", "prefix")
LONG = "You are a careful clerk. " * 300


def traced(request: Ask, by: tuple[StickyBy, ...] = EVERY, scope: bytes = b"acc", secret: bytes = SECRET) -> bytes | None:
    return trace_of(request, by, scope, secret)


def said(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]


def test_a_short_request_that_says_nothing_has_no_trace() -> None:
    assert traced(ask()) is None


@pytest.mark.parametrize("name", ["prompt_cache_key", "user"])
def test_the_same_name_leads_to_the_same_trace_whatever_is_asked(name: str) -> None:
    one, other = ask(**{name: "conversation-1"}), ask(**{name: "conversation-1"}, messages=said("something else"))
    assert traced(one) == traced(other) is not None
    assert traced(one) != traced(ask(**{name: "conversation-2"}))


def test_a_key_and_a_user_of_the_same_name_are_two() -> None:
    assert traced(ask(prompt_cache_key="a")) != traced(ask(user="a"))


def test_what_is_not_named_by_the_policy_does_not_count() -> None:
    assert traced(ask(user="a"), ("prompt_cache_key", "prefix")) is None


def test_accounts_and_models_are_kept_apart() -> None:
    assert traced(ask(user="a"), scope=b"acc-1\0m") != traced(ask(user="a"), scope=b"acc-2\0m")


def test_a_growing_conversation_keeps_the_trace_of_its_beginning() -> None:
    first = ask(messages=said(LONG))
    later = ask(messages=said(LONG, "Yes.", "And then?"))
    assert traced(first) == traced(later) is not None
    assert traced(first) != traced(ask(messages=said("Other " + LONG)))


def test_a_marked_block_counts_up_to_the_first_mark_which_stays_when_later_marks_move_on() -> None:
    def request(*texts: str) -> Ask:
        system = [{"type": "text", "text": "short rules", "cache_control": {"type": "ephemeral"}}]
        return Messages().parse(body(model="m", max_tokens=10, system=system, messages=said(*texts)))

    assert traced(request("one")) == traced(request("two", "three", "four")) is not None
    unmarked = Messages().parse(body(model="m", max_tokens=10, system="short rules", messages=said("one")))
    assert traced(unmarked) is None


def test_a_mark_in_a_message_of_a_chat_completion_counts_too() -> None:
    part = {"type": "text", "text": "short", "cache_control": {"type": "ephemeral"}}
    assert traced(ask(messages=[{"role": "user", "content": [part]}])) is not None


@pytest.mark.parametrize("odd", [{"user": 7}, {"user": ""}, {"tools": "no list"}, {"prompt_cache_key": ["a"]}])
def test_values_of_another_type_leave_no_trace(odd: dict[str, Any]) -> None:
    assert traced(ask(**odd)) is None


def test_a_lone_surrogate_leaves_a_trace_and_no_error() -> None:
    assert traced(parse_ask(rb'{"model":"m","user":"a","messages":[{"role":"user","content":"x"}]}')) is not None


def test_the_hash_is_keyed() -> None:
    assert traced(ask(user="a")) != traced(ask(user="a"), secret=b"j" * 32)


ROWS = [channel("a", keys=[{"secret": "1"}, {"secret": "2"}]), channel("b")]
CATALOG = catalog(ROWS, [model("gpt-4o", "a", "b", sticky={"seconds": 60})])


def remembering(most: int = 100) -> tuple[Affinity, Health, Clock]:
    clock = Clock()
    return Affinity(SECRET, clock, most), Health(BreakerLimits(), clock), clock


def remember(affinity: Affinity, health: Health, of: Catalog = CATALOG, user: str = "u") -> Trace:
    found = of.models["gpt-4o"]
    trace = affinity.trace(found, ask(user=user), "acc")
    assert trace is not None
    affinity.remember(trace, found.places[0], 1, health.of(found.places[0].channel))
    return trace


def test_an_answer_is_remembered_with_its_key_for_the_models_own_time() -> None:
    affinity, health, clock = remembering()
    trace = remember(affinity, health)
    assert affinity.recall(trace, CATALOG, health) == ("a", "gpt-4o", 1)
    clock.now += 59.9
    assert affinity.recall(trace, CATALOG, health) is not None
    clock.now += 0.1
    assert affinity.recall(trace, CATALOG, health) is None


def test_a_model_that_is_not_sticky_leaves_no_trace() -> None:
    affinity, _, _ = remembering()
    of = catalog(ROWS, [model("gpt-4o", "a")])
    assert affinity.trace(of.models["gpt-4o"], ask(user="u"), "acc") is None


def test_memory_is_bounded() -> None:
    affinity, health, _ = remembering(most=10)
    traces = [remember(affinity, health, user=f"u{number}") for number in range(25)]
    assert len(affinity) == 10
    assert affinity.recall(traces[0], CATALOG, health) is None
    assert affinity.recall(traces[-1], CATALOG, health) is not None


def test_a_channel_that_moved_or_changed_its_keys_is_another_one() -> None:
    affinity, health, _ = remembering()
    trace = remember(affinity, health)
    same = catalog([ROWS[0] | {"priority": 3}, ROWS[1]], [model("gpt-4o", "a", "b")])
    assert affinity.recall(trace, same, health) is not None
    rekeyed = catalog([ROWS[0] | {"keys": [{"secret": "3"}]}, ROWS[1]], [model("gpt-4o", "a", "b")])
    assert affinity.recall(trace, rekeyed, health) is None
    assert affinity.recall(trace, catalog([ROWS[1]], [model("gpt-4o", "b")]), health) is None


def test_no_text_of_the_request_stays_in_memory() -> None:
    affinity, health, _ = remembering()
    secret = "a very particular phrase 4711"
    trace = affinity.trace(CATALOG.models["gpt-4o"], ask(user=secret, messages=said(secret * 400)), "acc")
    assert trace is not None
    affinity.remember(trace, CATALOG.models["gpt-4o"].places[0], 0, health.of(CATALOG.channels["a"]))
    reached, seen = [affinity], set()
    while reached:
        value: Any = reached.pop()
        if id(value) in seen or isinstance(value, type):
            continue
        seen.add(id(value))
        assert not (isinstance(value, str | bytes) and secret in str(value))
        if isinstance(value, dict | list | tuple | Affinity | Trace) or type(value).__module__.startswith("cachetools"):
            reached.extend(gc.get_referents(value))
