"""Which route types are paid from the same balance, learnt from settlement's answers. Sync."""

from __future__ import annotations

from schemas.attempts import RouteType


class Buckets:
    """Settlement alone knows which balance pays for which route type; each of its answers tells it for some.

    What is not known yet counts as another bucket: crossing needs a permission, staying does not.
    """

    def __init__(self) -> None:
        self._bucket_of: dict[RouteType, str] = {}

    def learn(self, route_type: RouteType, bucket: str) -> None:
        """Settlement paid for this route type from this bucket."""
        self._bucket_of[route_type] = bucket

    def same(self, one: RouteType, other: RouteType) -> bool:
        """Whether both are paid from one bucket, as far as is known."""
        if one == other:
            return True
        bucket = self._bucket_of.get(one)
        return bucket is not None and bucket == self._bucket_of.get(other)
