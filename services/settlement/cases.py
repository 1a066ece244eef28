"""Cases as operators decide them. Pure: validated values and what may be decided of which case."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.settlement.errors import ConflictError, InvalidError
from services.settlement.expiry import CASE_KIND
from services.settlement.money_in import Name, Reason

Decision = Literal["charge_nothing", "write_off"]


class Assignment(BaseModel):
    """Body of `POST /admin/cases/{id}/assign`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Name
    author: Name = "admin"


class Closing(BaseModel):
    """Body of `POST /admin/cases/{id}/close`. `decision` is for an expired hold: the customer pays no more than its progress
    (`charge_nothing`), or the exposure is taken for lost (`write_off`). Neither moves money: usage that arrives late goes to
    write-off in any case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resolution: Reason
    author: Name = "admin"
    decision: Annotated[Decision | None, Field()] = None


def must_close(case: dict[str, Any], asked: Closing) -> bool:
    """Whether there is anything to do: closing again in the same words changes nothing.

    Raises ConflictError for a case that was closed in other words, InvalidError for a decision that the case has no use for.
    """
    if asked.decision is not None and case["kind"] != CASE_KIND:
        raise InvalidError(f"only a case of kind {CASE_KIND} takes a decision", code="no_decision", param="decision")
    if case["closed_at"] is None:
        return True
    if (case["resolution"], case["closed_by"], case["decision"]) != (asked.resolution, asked.author, asked.decision):
        raise ConflictError(f"the case was closed by {case['closed_by']}: {case['resolution']}", code="case_closed")
    return False
