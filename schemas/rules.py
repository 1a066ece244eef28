"""What the requests of a run may do."""

from typing import Annotated

from pydantic import Field

from schemas.attempts import RouteType
from schemas.envelope import Contract, Identifier

Models = Annotated[list[Identifier], Field(min_length=1, max_length=256)]


class RunRules(Contract):
    """None leaves it to the key; a run narrows its key's policy.

    Crossing buckets is the one thing that a run may permit beyond its key, because it names the money of each bucket.
    """

    models: Models | None = None
    route_types: Annotated[list[RouteType], Field(min_length=1)] | None = None
    fallback: bool | None = None
    cross_bucket: bool | None = None
    max_attempts: Annotated[int, Field(ge=1, le=10)] | None = None
