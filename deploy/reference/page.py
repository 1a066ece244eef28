"""One OpenAPI document as one Markdown page. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
NOTE = "<!-- Made by `make reference` from the running service: do not edit. -->"


def page(document: Json, *, introduction: str) -> str:
    """The page: every call under its tag, then the shapes that they share."""
    info = document["info"]
    lines = [NOTE, f"# {info['title']}", "", introduction, ""]
    for tag, calls in _by_tag(document).items():
        lines += [f"## {tag}", ""]
        for method, path, operation in calls:
            lines += _call(method, path, operation)
    shapes = document.get("components", {}).get("schemas", {})
    if shapes:
        lines += ["## Shapes", ""]
        for name in sorted(shapes):
            lines += _shape(name, shapes[name])
    return "\n".join(lines).rstrip() + "\n"


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                tag = (operation.get("tags") or [_area(path)])[0]
                found.setdefault(tag, []).append((method, path, operation))
    return found


def _area(path: str) -> str:
    """What a call without a tag is about: the first word of its path behind `/admin`."""
    words = [word for word in path.split("/") if word and word not in {"admin", "internal"} and not word.startswith("{")]
    return words[0].replace("-", " ").capitalize() if words else "Calls"


def _call(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`"
    yield ""
    for text in dict.fromkeys((operation.get("summary"), operation.get("description"))):
        if text:
            yield _sentence(text)
    if permission := operation.get("x-tollbook-permission"):
        yield f"Needs `{permission}`."
    yield ""
    if parameters := operation.get("parameters"):
        yield from _table(("parameter", "in", "type", "what"), [_parameter(each) for each in parameters])
    if body := operation.get("requestBody"):
        takes = ", ".join(f"{_type(content.get('schema', {}))} ({media})" for media, content in body["content"].items())
        yield f"Takes {takes}{'' if body.get('required') else ', or nothing'}."
        yield ""
    yield from _table(("status", "answer", "when"), [_answer(*each) for each in sorted(operation["responses"].items())])


def _parameter(parameter: Json) -> tuple[str, ...]:
    name = f"`{parameter['name']}`" + (" (required)" if parameter.get("required") else "")
    return (name, parameter["in"], _type(parameter.get("schema", {})), parameter.get("description", ""))


def _answer(status: str, answer: Json) -> tuple[str, ...]:
    contents = [
        _type(content.get("schema", {})) if media == "application/json" else media
        for media, content in answer.get("content", {}).items()
    ]
    return (status, " or ".join(contents), answer.get("description", ""))


def _shape(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if description := schema.get("description"):
        yield _one_line(description)
        yield ""
    required = set(schema.get("required", ()))
    rows = [
        (f"`{field}`" + (" (required)" if field in required else ""), _type(value), value.get("description", ""))
        for field, value in schema.get("properties", {}).items()
    ]
    if rows:
        yield from _table(("member", "type", "what"), rows)
    elif not description:
        yield f"{_type(schema)}."
        yield ""


def _type(schema: Json) -> str:
    """A type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[several]))
    values = schema.get("enum", [schema["const"]] if "const" in schema else ())
    return " or ".join(f"`{value}`" for value in values) or _plain_type(schema)


def _plain_type(schema: Json) -> str:
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return (" or ".join(kind) if isinstance(kind, list) else str(kind)) + _bounds(schema)


def _bounds(schema: Json) -> str:
    words = [f"{schema['format']}"] if "format" in schema else []
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        words.append(f"{'' if low is None else low} to {'' if high is None else high}".strip())
    if "maxLength" in schema:
        words.append(f"at most {schema['maxLength']} characters")
    if "default" in schema and schema["default"] is not None:
        words.append(f"default `{schema['default']}`")
    return f" ({', '.join(words)})" if words else ""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"
    yield ""


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def _sentence(text: str) -> str:
    text = _one_line(text)
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
