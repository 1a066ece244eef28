"""Server-sent events, line by line. Pure."""

from collections.abc import Iterable, Iterator


def events_of(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The name (`message` where it has none) and the data of each event; comments are passed over."""
    name, data = "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
