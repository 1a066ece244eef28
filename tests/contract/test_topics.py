"""The YAML descriptions of the topics and the registry of events say the same."""

import pytest
from pydantic import ValidationError

from schemas import topics
from schemas.alerts import VelocityAlert
from schemas.envelope import Event
from schemas.registry import EVENTS, UnknownEventError, decode, topic_of
from schemas.topics import Topic

NAMES = (topics.REQUESTS, topics.ATTEMPTS, topics.LEDGER, topics.ALERTS, topics.DEAD, topics.CONTROL, topics.USAGE)
FOR_EVER = (topics.REQUESTS, topics.ATTEMPTS, topics.LEDGER)


def test_every_named_topic_is_described_and_no_other() -> None:
    assert topics.topics().keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_topic_lists_exactly_the_events_of_the_registry(name: str) -> None:
    assert topics.topics()[name].events == list(EVENTS.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_topics_file_is_named_after_it(name: str) -> None:
    assert (topics.TOPICS_DIR / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", FOR_EVER)
def test_the_books_are_kept_for_ever(name: str) -> None:
    assert (topics.topics()[name].retention_ms, topics.topics()[name].cleanup_policy) == (-1, "delete")


def test_the_control_topic_is_compacted() -> None:
    assert topics.topics()[topics.CONTROL].cleanup_policy == "compact"


def test_every_topic_has_a_producer_and_a_consumer() -> None:
    assert [topic.name for topic in topics.topics().values() if not (topic.producers and topic.consumers)] == []


def test_a_type_name_belongs_to_one_topic_and_is_its_models_name() -> None:
    pairs = [(name, model) for types in EVENTS.values() for name, model in types.items()]
    assert len({name for name, _ in pairs}) == len(pairs)
    assert all(name == model.__name__ == model.model_fields["type"].default for name, model in pairs)


def test_the_topic_of_a_type_is_where_the_registry_has_it() -> None:
    assert {topic_of(model) for model in EVENTS[topics.LEDGER].values()} == {topics.LEDGER}
    with pytest.raises(UnknownEventError):
        topic_of(Event)


def test_a_type_on_the_wrong_topic_is_unknown() -> None:
    with pytest.raises(UnknownEventError):
        decode(topics.LEDGER, VelocityAlert.__name__, b"{}")


def test_a_payload_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError):
        decode(topics.ALERTS, VelocityAlert.__name__, b'{"type":"VelocityAlert"}')


def test_a_topic_with_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError):
        Topic.model_validate({**topics.topics()[topics.DEAD].model_dump(), "retention": 1})
