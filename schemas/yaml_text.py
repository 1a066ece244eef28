"""Reads a YAML (or JSON) text that somebody sent: looked over in bounded time first, then parsed once. Pure.

The look takes one event after the other and does not recurse: what would cost seconds or the stack
is refused before it is built.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

DEPTH_MAX = 32
"""Lists and mappings within each other: a real file has six."""
NODES_MAX = 200_000
"""Values, names, lists and mappings: a thousand channels and five thousand models of the usual size are some 150,000."""
STR_TAG = "tag:yaml.org,2002:str"
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where the library was built with it; the one in Python takes much longer."""
BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)
TAG_BROKEN = (AttributeError, TypeError, ArithmeticError, LookupError)
"""What the library's own constructors break with on a value that is not what it looks like."""


class YamlTextError(Exception):
    """The text is not read. Line and column count from 1, and are None where the fault is the whole text's."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        place = "" if line is None else f"line {line}, column {column}: "
        super().__init__(place + reason)
        self.reason = reason
        self.line = line
        self.column = column


class YamlText(NamedTuple):
    """The nodes, which know where they stand, and the values. None and None of an empty text."""

    node: yaml.Node | None
    value: Any


def read_yaml(text: str) -> YamlText:
    """The document in a text. Raises :class:`YamlTextError` for everything that is none or is not read here."""
    try:
        _look(text)
        return _loaded(text)
    except yaml.MarkedYAMLError as error:
        said = str(error.problem) if error.context is None else f"{error.problem} ({error.context})"
        raise YamlTextError(said, *_place_in(text, error.problem_mark)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlTextError(str(error)) from None
    except TAG_BROKEN as error:
        raise YamlTextError(f"a value is not what its form says ({type(error).__name__})") from None


def _loaded(text: str) -> YamlText:
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        return YamlText(node, None if node is None else loader.construct_document(node))
    finally:
        loader.dispose()


def _look(text: str) -> None:
    depth = nodes = 0
    for event in _events(text):
        if isinstance(event, CLOSING):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            depth += isinstance(event, OPENING)
            if reason := _too_much(depth, nodes) or _unread(event):
                raise YamlTextError(reason, *_place(event.start_mark))


def _place(mark: Any) -> tuple[int, int]:
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _place_in(text: str, mark: Any) -> tuple[int, int]:
    """Where an error stands. At the end of a text without a last line break libyaml counts a line that is not there."""
    line, column = _place(mark)
    lines = BREAK.split(text)
    return (line, column) if line <= len(lines) else (len(lines), len(lines[-1]) + 1)


def _events(text: str) -> Iterator[yaml.Event]:
    found: Iterator[yaml.Event] = yaml.parse(text, Loader=LOADER)
    return found


def _too_much(depth: int, nodes: int) -> str | None:
    if depth > DEPTH_MAX:
        return f"lists and mappings stand within each other more than {DEPTH_MAX} deep"
    return f"the file has more than {NODES_MAX} values" if nodes > NODES_MAX else None


def _unread(event: yaml.NodeEvent) -> str | None:
    """Why an event is not read: what repeats a part of the file can make a small one large, and a tag can break a value."""
    if isinstance(event, yaml.AliasEvent):
        return "aliases (*name) are not read: write every line out"
    if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
        return "merges (<<) are not read: write every line out"
    tag = getattr(event, "tag", None)
    if tag is None or (tag == STR_TAG and isinstance(event, yaml.ScalarEvent)):
        return None
    return "tags other than !!str are not read: leave this one out"
