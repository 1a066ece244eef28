"""The route table as an operator writes it: YAML or JSON, validated whole. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from schemas.attempts import RouteType
from schemas.envelope import Identifier
from schemas.yaml_text import YamlTextError, read_yaml
from services.router.bounds import IMAGE_TOKENS
from services.router.errors import TableRejectedError
from services.router.key_rules import secret_fault, variable_fault
from services.router.operator_cost import parse_factor

SEALED = "(sealed)"
"""What a secret is shown as."""
FIELD_NAME = re.compile("[a-z_]{1,32}")
TABLE_BYTES_MAX = 2 * 1024 * 1024
AS_POSTED = {"posted": True}
"""The context of a table that is given now. A stored one is read without: what it may no longer say is its channel's fault."""
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
Weight = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
OnDisconnect = Literal["drain", "cancel"]
Priority = Annotated[int, Field(strict=True, ge=0, le=1_000)]


Strategy = Literal["priority", "weighted", "cheapest", "fastest"]
"""How candidates of equal priority are put in order."""
StickyBy = Literal["prompt_cache_key", "cache_control", "user", "prefix"]
"""What in a request tells that a provider's prompt cache may know it, in the order in which it is looked for."""
PerMinute = Annotated[int, Field(strict=True, ge=1, le=10**12)]
EXPLORE_PERCENT = 5
PLAIN_REASONS = {
    "model_type": "write fields here, each as `name: value`",
    "tuple_type": "write a list here",
    "bool_type": "write true or false here, without quotes",
    "int_type": "write a whole number here, without quotes",
}
"""What the library says of Python's types, said of the file."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ChannelKey(_Row):
    """One key of a channel: the secret itself (stored sealed), or the name of the environment variable that holds it.

    `kept` is a stored secret by its fingerprint, as an exported table names it: the one that is in force stays.
    """

    secret: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(default=None, repr=False)
    secret_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=128)] | None = None
    kept: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")] | None = None

    @field_validator("secret")
    @classmethod
    def _sendable(cls, secret: str | None, info: ValidationInfo) -> str | None:
        if info.context == AS_POSTED and secret is not None and (fault := secret_fault(secret)):
            raise ValueError(fault)
        return secret

    @field_validator("secret_env")
    @classmethod
    def _of_its_own(cls, name: str | None, info: ValidationInfo) -> str | None:
        if info.context == AS_POSTED and name is not None and (fault := variable_fault(name)):
            raise ValueError(fault)
        return name

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if [self.secret, self.secret_env, self.kept].count(None) != 2:
            raise ValueError("a key has either secret or secret_env (or kept, in an exported table)")
        return self


class LimitsRow(_Row):
    """What a channel may be asked at most. Each router process counts its own calls: with n of them, write the n-th part."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None
    concurrency: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.requests_per_minute is None and self.tokens_per_minute is None and self.concurrency is None:
            raise ValueError("give requests_per_minute, tokens_per_minute or concurrency, or leave limits out")
        return self


class ChannelRow(_Row):
    """One place to send requests to. `cost_factor` is what the operator pays, as a decimal share of the list charge.

    `on_disconnect` is what happens to an upstream call whose client has left: it is read to its end for its real usage, or
    cancelled and estimated from what was streamed.
    """

    id: Name
    route_type: RouteType
    brand: Name
    dialect: Literal["openai", "openai-responses", "anthropic", "gemini"]
    base_url: Annotated[str, Field(max_length=512)]
    keys: Annotated[tuple[ChannelKey, ...], Field(min_length=1, max_length=32)]
    cost_factor: str | None = None
    priority: Priority = 0
    weight: Weight | None = None
    on_disconnect: OnDisconnect = "drain"
    limits: LimitsRow | None = None

    @field_validator("cost_factor")
    @classmethod
    def _exact(cls, text: str | None) -> str | None:
        if text is not None:
            parse_factor(text)
        return text


class CandidateRow(_Row):
    """One way to serve a model. `priority` and `weight` override the channel's."""

    channel: Name
    upstream_model: Name
    priority: Priority | None = None
    weight: Weight | None = None


class StickyRow(_Row):
    """Requests that a prompt cache may know go where they were last answered, for so many seconds after each answer."""

    seconds: Annotated[int, Field(strict=True, ge=1, le=86_400)]
    by: Annotated[tuple[StickyBy, ...], Field(min_length=1)] = get_args(StickyBy)

    @field_validator("by")
    @classmethod
    def _each_once(cls, by: tuple[StickyBy, ...]) -> tuple[StickyBy, ...]:
        if len(set(by)) < len(by):
            raise ValueError("name each of them once")
        return by


class ModelRow(_Row):
    """A model that clients ask for. Candidates in order: the first is the primary, the others are its backups.

    Without a `strategy` it is `weighted` where a candidate has a weight, and `priority` otherwise.

    `tokenizer` is what its prompts are counted by where a bound from bytes would refuse them: that of the candidates' names, or
    the one that is declared. Where it is unknown, bytes stay the bound, or with `unknown_tokens_percent` so many percent of the
    most that any known tokenizer makes of a text.

    `audio_input` says that sound in a prompt costs what text does: without it such a request is refused.
    """

    id: Name
    owned_by: Identifier
    created: Annotated[int, Field(strict=True, ge=0)] = 0
    mode: Literal["chat", "embedding"] = "chat"
    max_input_tokens: Annotated[int, Field(strict=True, ge=1, le=10**9)]
    max_output_tokens: Annotated[int, Field(strict=True, ge=0, le=10**8)] = 0
    image_tokens_bound: Annotated[int, Field(strict=True, ge=1, le=10**6)] = IMAGE_TOKENS
    audio_input: Annotated[bool, Field(strict=True)] = False
    strategy: Strategy | None = None
    explore_percent: Annotated[int, Field(strict=True, ge=0, le=50)] | None = None
    sticky: StickyRow | None = None
    tokenizer: Literal["by_name", "o200k_base", "cl100k_base", "unknown"] = "by_name"
    unknown_tokens_percent: Annotated[int, Field(strict=True, ge=100, le=1_000)] | None = None
    candidates: Annotated[tuple[CandidateRow, ...], Field(min_length=1, max_length=32)]

    @model_validator(mode="after")
    def _has_output(self) -> Self:
        if (self.mode == "chat") != (self.max_output_tokens > 0):
            raise ValueError("max_output_tokens is at least 1 with mode chat, and left out with mode embedding")
        return self

    @model_validator(mode="after")
    def _fits_its_strategy(self) -> Self:
        if self.explore_percent is not None and self.strategy != "fastest":
            raise ValueError("explore_percent counts for the strategy fastest alone: leave it out, or set strategy: fastest")
        if self.strategy in (None, "weighted"):
            return self
        weighted = next((candidate.channel for candidate in self.candidates if candidate.weight is not None), None)
        if weighted is not None:
            raise ValueError(
                f"candidate {weighted} has a weight, which the strategy {self.strategy} does not use: "
                "leave it out, or set strategy: weighted"
            )
        return self


class RouteTable(_Row):
    """A whole table. Ids are unique, and every candidate names a channel of the table."""

    version: Literal[1] = 1
    channels: Annotated[tuple[ChannelRow, ...], Field(max_length=1_000)]
    models: Annotated[tuple[ModelRow, ...], Field(max_length=5_000)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        channels = _unique("channel", [row.id for row in self.channels])
        _unique("model", [row.id for row in self.models])
        for model in self.models:
            for candidate in model.candidates:
                if candidate.channel not in channels:
                    raise ValueError(f"model {model.id}: candidate names the unknown channel {candidate.channel}")
        return self


def parse_table(text: bytes) -> RouteTable:
    """The table in a YAML or JSON text. Raises :class:`TableRejectedError`, naming line, channel or model, and reason."""
    if len(text) > TABLE_BYTES_MAX:
        raise TableRejectedError(f"a route table has at most {TABLE_BYTES_MAX} bytes")
    try:
        node, raw = read_yaml(text.decode("utf-8"))
    except (YamlTextError, UnicodeDecodeError) as exc:
        raise TableRejectedError(f"neither YAML nor JSON: {exc}") from None
    if not isinstance(raw, dict):
        said = "the file is empty" if raw is None else "this is no route table"
        raise TableRejectedError(f"line 1: {said}: a table has channels and models, as `tollbook routes export` shows them")
    _refuse_repeated_keys(node)
    try:
        return RouteTable.model_validate(raw, context=AS_POSTED)
    except ValidationError as exc:
        # The input is left out of the message: it may be a secret.
        raise TableRejectedError(
            "; ".join(_described(error, raw, node) for error in exc.errors(include_input=False)[:10])
        ) from None


def _unique(kind: str, ids: list[str]) -> set[str]:
    seen: set[str] = set()
    for id_ in ids:
        if id_ in seen:
            raise ValueError(f"{kind} {id_} is declared twice")
        seen.add(id_)
    return seen


def _refuse_repeated_keys(node: yaml.Node | None) -> None:
    """Raise :class:`TableRejectedError` where a mapping has a key twice: the loader would take the last one silently."""
    waiting, met = [node], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in reversed(node.value)]
            _refuse_repeated([key for key, _ in node.value])


def _refuse_repeated(keys: list[yaml.Node]) -> None:
    names: set[str] = set()
    for key in keys:
        name = str(key.value)
        if name in names:
            # What is no field's name may be a secret.
            shown = name if FIELD_NAME.fullmatch(name) else "a name"
            line = key.start_mark.line + 1
            raise TableRejectedError(f"line {line}: {shown} stands twice in the same place: leave one of them out")
        names.add(name)


def _described(error: ErrorDetails, raw: Any, node: yaml.Node | None) -> str:
    reason = PLAIN_REASONS.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    where = [f"line {_line(error['loc'], node)}"]
    subject = _subject(error["loc"], raw)
    if subject:
        where.append(subject)
    field = ".".join(str(step) for step in error["loc"][2 if subject else 0 :])
    return ", ".join(where) + (f": {field}: {reason}" if field else f": {reason}")


def _subject(loc: tuple[int | str, ...], raw: Any) -> str | None:
    if len(loc) < 2 or loc[0] not in ("channels", "models") or not isinstance(loc[1], int):
        return None
    row = raw[loc[0]][loc[1]]
    name = row.get("id") if isinstance(row, dict) else None
    return f"{str(loc[0])[:-1]} {name or loc[1] + 1}"


def _line(loc: tuple[int | str, ...], node: yaml.Node | None) -> int:
    line = 1
    for step in loc:
        if node is None:
            break
        line = node.start_mark.line + 1
        node = _child(node, step)
    return node.start_mark.line + 1 if node is not None else line


def _child(node: yaml.Node, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None
