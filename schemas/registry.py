"""Which event types exist, on which topic, and how bytes become an event."""

from functools import cache

from schemas import alerts, attempts, batches, corrections, dead, ledger, requests, samples, topics
from schemas.envelope import Event

EVENTS: dict[str, dict[str, type[Event]]] = {
    topics.REQUESTS: {
        "RequestAccepted": requests.RequestAccepted,
        "RequestRejected": requests.RequestRejected,
        "BatchAccepted": batches.BatchAccepted,
    },
    topics.ATTEMPTS: {
        "AttemptStarted": attempts.AttemptStarted,
        "AttemptFinished": attempts.AttemptFinished,
        "FallbackTaken": attempts.FallbackTaken,
        "RequestCompleted": attempts.RequestCompleted,
    },
    topics.LEDGER: {
        "HoldPlaced": ledger.HoldPlaced,
        "HoldRefused": ledger.HoldRefused,
        "Captured": ledger.Captured,
        "Released": ledger.Released,
        "Expired": ledger.Expired,
        "LateUsage": ledger.LateUsage,
        "ToppedUp": ledger.ToppedUp,
        "PriceBookPublished": ledger.PriceBookPublished,
        "LimitChanged": ledger.LimitChanged,
        "RunOpened": ledger.RunOpened,
        "RunExtended": ledger.RunExtended,
        "RunClosed": ledger.RunClosed,
        "CaseOpened": ledger.CaseOpened,
        "CaseClosed": ledger.CaseClosed,
        "Refunded": corrections.Refunded,
        "Adjusted": corrections.Adjusted,
        "ChargedBack": corrections.ChargedBack,
        "ChargebackReinstated": corrections.ChargebackReinstated,
        "PromotionGranted": corrections.PromotionGranted,
        "CreditExpired": corrections.CreditExpired,
        "CheckpointPublished": ledger.CheckpointPublished,
    },
    topics.ALERTS: {"VelocityAlert": alerts.VelocityAlert, "AlertChanged": alerts.AlertChanged},
    topics.DEAD: {"DeadLetter": dead.DeadLetter},
    topics.USAGE: {"UsageSample": samples.UsageSample, "ChannelSample": samples.ChannelSample},
}


class UnknownEventError(ValueError):
    """The bytes name no event type of their topic: dead-letter the record."""


@cache
def topic_of(event_type: type[Event]) -> str:
    """The topic that carries the type."""
    for topic, types in EVENTS.items():
        if event_type in types.values():
            return topic
    raise UnknownEventError(event_type.__name__)


def decode(topic: str, type_name: str, payload: bytes) -> Event:
    """The event in the bytes. Raises :class:`UnknownEventError`, or pydantic's `ValidationError` where it does not fit."""
    model = EVENTS.get(topic, {}).get(type_name)
    if model is None:
        raise UnknownEventError(f"{type_name!r} is not an event of {topic}")
    return model.model_validate_json(payload)
