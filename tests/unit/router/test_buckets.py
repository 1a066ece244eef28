"""Which route types share a balance is learnt from settlement and never guessed."""

from __future__ import annotations

from schemas.attempts import RouteType
from services.router.buckets import Buckets

PAID_FROM: dict[RouteType, str] = {"direct": "credit", "pooled": "wallet", "subscription": "wallet"}


def test_what_is_not_known_counts_as_another_bucket() -> None:
    buckets = Buckets()
    assert not buckets.same("pooled", "subscription")
    buckets.learn("pooled", "wallet")
    assert not buckets.same("pooled", "subscription")


def test_route_types_of_one_bucket_are_the_same() -> None:
    buckets = Buckets()
    for route_type, bucket in PAID_FROM.items():
        buckets.learn(route_type, bucket)
    assert buckets.same("pooled", "subscription")
    assert not buckets.same("direct", "pooled")
    assert Buckets().same("direct", "direct")


def test_the_latest_answer_counts() -> None:
    buckets = Buckets()
    buckets.learn("pooled", "wallet")
    buckets.learn("subscription", "wallet")
    buckets.learn("subscription", "credit")
    assert not buckets.same("pooled", "subscription")
