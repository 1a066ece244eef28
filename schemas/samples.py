"""Events of `tollbook.usage.v1`: what analytics' loader counted per key, for the velocity meter. Advisory, never money."""

from typing import Literal

from pydantic import Field

from schemas.envelope import Contract, Event, Identifier, UtcDatetime


class UsageSampleData(Contract):
    """Completed requests and tokens of one key within one flush of the loader; `second` is the second they completed in."""

    project_id: Identifier
    key_id: Identifier
    second: UtcDatetime
    requests: int = Field(ge=0)
    tokens: int = Field(ge=0)


class UsageSample(Event):
    """Tokens that one key used in one second."""

    type: Literal["UsageSample"] = "UsageSample"
    data: UsageSampleData
