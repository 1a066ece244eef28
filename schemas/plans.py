"""Wire model of a dry run: who would ask for what, so that router can say where it would go."""

from typing import Annotated

from pydantic import Field

from schemas.calls import Policy, RouteLimit
from schemas.envelope import Contract, Identifier
from schemas.money import TokenCount


class PlanAsk(Contract):
    """Body of `POST /internal/route-plan` and `POST /admin/route-plan`: no prompt, only what planning looks at.

    `account_id`, `user` and `prompt_cache_key` tell whether a prompt cache leads the request to where it went before.
    """

    model: Identifier
    policy: Policy = Field(default_factory=Policy)
    route_limits: list[RouteLimit] = Field(default_factory=list)
    account_id: Identifier | None = None
    stream: bool = False
    input_tokens: Annotated[TokenCount, Field(le=10**8)] = 0
    output_tokens: Annotated[TokenCount, Field(le=10**8)] | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
