"""What clients may send about runs and estimates: strictly, so that a mistyped rule never goes unnoticed."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from starlette.requests import Request

from schemas.attempts import RouteType
from schemas.envelope import Identifier, Tags
from schemas.money import TokenCount
from schemas.plain_text import RULE, plain_text, unplain
from schemas.rules import Models, RunRules
from schemas.runs import Budget, RunState
from services.edge.errors import InvalidRequestError

Body = TypeVar("Body", bound=BaseModel)
MAX_ITEMS = 100


def _plain_tags(tags: dict[str, str]) -> dict[str, str]:
    for name, value in tags.items():
        if not name:
            raise ValueError("takes names of one character or more")
        if (found := unplain(name + value)) is not None:
            raise ValueError(f"{RULE} ({found})")
    return tags


def _span(value: object) -> object:
    """A single figure is a range without width."""
    return {"low": value, "high": value} if isinstance(value, int) and not isinstance(value, bool) else value


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RunBody(_Body):
    """Body of `POST /v1/runs`. `metadata` is another name of `tags`."""

    budget: Budget
    models: Models | None = None
    route_types: Annotated[list[RouteType], Field(min_length=1)] | None = None
    fallback: bool | None = None
    cross_bucket: bool | None = None
    max_attempts: Annotated[int, Field(ge=1, le=10)] | None = None
    deadline: Annotated[str, Field(max_length=64)] | None = None
    label: Annotated[str, Field(max_length=256), AfterValidator(plain_text)] = ""
    reserve: bool = True
    tags: Annotated[Tags, AfterValidator(_plain_tags)] | None = None
    metadata: Annotated[Tags, AfterValidator(_plain_tags)] | None = None

    @model_validator(mode="after")
    def _one_name_for_tags(self) -> "RunBody":
        if self.tags is not None and self.metadata is not None:
            raise ValueError("give tags or metadata, not both")
        return self

    def rules(self) -> RunRules:
        """The rules among the fields."""
        return RunRules(**{name: getattr(self, name) for name in RunRules.model_fields})


class ExtensionBody(_Body):
    """Body of `POST /v1/runs/{id}/extend`: what is added to the budget, a later deadline, or both."""

    budget: Budget | None = None
    deadline: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _something(self) -> "ExtensionBody":
        if self.budget is None and self.deadline is None:
            raise ValueError("give a budget to add, a later deadline, or both")
        return self


class NothingBody(_Body):
    """Body of `POST /v1/runs/{id}/close`: nothing, or an empty object."""


class SpanBody(_Body):
    """The least and the most."""

    low: TokenCount
    high: TokenCount

    @model_validator(mode="after")
    def _ordered(self) -> "SpanBody":
        if self.low > self.high:
            raise ValueError("low must not exceed high")
        return self


Span = Annotated[SpanBody, BeforeValidator(_span)]


class EstimateItemBody(_Body):
    """So many requests of one kind. Tokens are those of one request: a number, or `{"low": …, "high": …}`."""

    model: Identifier
    requests: Annotated[int, Field(ge=1, le=10**9)] = 1
    input_tokens: Span
    output_tokens: Span
    cached_share: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.0


class EstimateBody(_Body):
    """Body of `POST /v1/estimate`. With `run_id` the run's rules and its budget count."""

    items: Annotated[list[EstimateItemBody], Field(min_length=1, max_length=MAX_ITEMS)]
    run_id: Identifier | None = None


class ListQuery(BaseModel):
    """Query of `GET /v1/runs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: RunState | None = None
    key_id: Identifier | None = None
    after: Identifier | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class TimelineQuery(BaseModel):
    """Query of `GET /v1/runs/{id}`: a page of the timeline, and whether people are to read it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after: Annotated[int, Field(ge=0, le=10**9)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    format: Annotated[str, Field(pattern="^(json|text)$")] = "json"


def parse_body(model: type[Body], payload: Mapping[str, Any]) -> Body:
    """The payload as the model has it; a member that is null counts as absent. Raises :class:`InvalidRequestError`."""
    try:
        return model.model_validate({name: value for name, value in payload.items() if value is not None})
    except ValidationError as error:
        raise _refusal(error.errors(include_url=False, include_context=False)[0]) from None


def parse_query(model: type[Body], request: Request) -> Body:
    """The query's parameters as the model has them. Raises :class:`InvalidRequestError`."""
    return parse_body(model, dict(request.query_params))


def _refusal(first: ErrorDetails) -> InvalidRequestError:
    """The first mistake, named by its place. What the client sent is not repeated."""
    param = ".".join(str(part) for part in first["loc"] if part != "[key]") or None
    subject = f"'{param}'" if param else "The body"
    if first["type"] == "extra_forbidden":
        return InvalidRequestError("unknown_parameter", f"{subject} is not a parameter of this call.", param=param)
    if first["type"] == "missing":
        return InvalidRequestError("missing_required_parameter", f"{subject} is required.", param=param)
    what = first["msg"].removeprefix("Value error, ")
    return InvalidRequestError("invalid_value", f"{subject}: {what}.", param=param)
