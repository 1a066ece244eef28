"""Ready-made routes and prices put beside those that are in force, of which nothing is changed. Pure but for reading files."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from services.console.errors import BadFileError, ConsoleError

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A provider's files: a route table of one channel, and the prices of its models."""

    provider: str
    table: Json
    book: Json

    @property
    def channel(self) -> Json:
        """The one channel."""
        found: Json = self.table["channels"][0]
        return found

    @property
    def key_variable(self) -> str | None:
        """The variable that the file reads the key from; None for a provider that asks for no key."""
        found: str | None = self.channel["keys"][0].get("secret_env")
        return found

    @property
    def bucket(self) -> str:
        """The bucket that pays for it, by the ready-made book."""
        route_type = self.channel["route_type"]
        return str(next(each["id"] for each in self.book["buckets"] if route_type in each["route_types"]))

    def told(self, *, base_url: str | None, keys: Sequence[Mapping[str, str]] | None, channel_id: str | None) -> "Ready":
        """The same with another address, other keys or another name for its channel."""
        table = deepcopy(self.table)
        changes: Mapping[str, Any] = {"base_url": base_url, "keys": keys and list(keys), "id": channel_id}
        table["channels"][0] |= {name: value for name, value in changes.items() if value is not None}
        for model in table["models"]:
            for candidate in model["candidates"]:
                candidate["channel"] = table["channels"][0]["id"]
        return replace(self, table=table)


def providers(folder: Path) -> list[str]:
    """The providers that there are files for."""
    return sorted(path.parent.name for path in folder.glob("*/routes.yaml"))


def ready(folder: Path, provider: str) -> Ready:
    """A provider's files. Raises BadFileError where they cannot be read."""
    try:
        table, book = (yaml.safe_load((folder / provider / name).read_text("utf-8")) for name in ("routes.yaml", "prices.yaml"))
    except (OSError, yaml.YAMLError) as error:
        raise BadFileError(f"the ready-made files of {provider} in {folder} cannot be read: {error}") from error
    return Ready(provider=provider, table=table, book=book)


@dataclass(frozen=True, kw_only=True)
class Merged:
    """A whole table or book, what is new in it, and what a person should know."""

    document: Json
    added: int
    notes: tuple[str, ...] = ()

    def answered_by(self, channel_id: str) -> list[str]:
        """The chat models of a table that are asked at this channel first."""
        models = [model for model in self.document["models"] if model.get("mode", "chat") == "chat"]
        return [model["id"] for model in models if model["candidates"][0]["channel"] == channel_id]


def merged_routes(current: Json, own: Ready) -> Merged:
    """The table in force with the ready channel and its models.

    A model that is there is asked where it was before, and at the new channel last.
    Raises ConsoleError where the channel's name is that of another one.
    """
    document, channel, notes = deepcopy(current), own.channel, list[str]()
    there = next((each for each in document["channels"] if each["id"] == channel["id"]), None)
    if there is None:
        document["channels"].append(deepcopy(channel))
        notes.append(f"added the channel {channel['id']} at {channel['base_url']}")
    elif _place(there) != _place(channel):
        raise ConsoleError(
            f"there is a channel {channel['id']} already, of another kind or at another address ({there['base_url']}): "
            "give --channel NAME for one beside it, or --routes keep to leave the routes alone"
        )
    elif any("kept" not in key and key not in there["keys"] for key in channel["keys"]):
        there["keys"] = deepcopy(channel["keys"])
        notes.append(f"the channel {channel['id']} gets its key anew")
    by_id = {model["id"]: model for model in document["models"]}
    added, beside = 0, list[str]()
    for model in own.table["models"]:
        known = by_id.get(model["id"])
        if known is None:
            document["models"].append(deepcopy(model))
            added += 1
            continue
        wanted = {"channel": channel["id"], "upstream_model": model["candidates"][0]["upstream_model"]}
        if all({name: each[name] for name in wanted} != wanted for each in known["candidates"]):
            known["candidates"].append(wanted)
            beside.append(model["id"])
    if added:
        notes.append(f"added {added} model{'' if added == 1 else 's'}")
    if beside:
        notes.append(f"{', '.join(beside)}: asked where they were before, and at {channel['id']} last")
    return Merged(document=document, added=added, notes=tuple(notes))


def merged_prices(current: Json | None, own: Ready) -> Merged:
    """The book in force with the prices that it lacks; a price that is there stays.

    Raises ConsoleError where a route type is paid in another currency than the files'.
    """
    if current is None:
        return Merged(document=deepcopy(own.book), added=len(own.book["prices"]))
    document = deepcopy(current)
    currency_of = {each: bucket["currency"] for bucket in document["buckets"] for each in bucket["route_types"]}
    priced = {(price["route_type"], price["model"]) for price in document["prices"]}
    missing = [each for each in own.book["prices"] if (each["route_type"], each["model"]) not in priced]
    for price in missing:
        paid = currency_of.get(price["route_type"])
        if paid != price["currency"]:
            raise ConsoleError(
                f"{price['route_type']} routes are paid in {paid or 'no bucket'} here, and the ready-made prices of "
                f"{own.provider} are in {price['currency']}: write a book of your own (`tollbook prices export`), and give "
                "--prices keep"
            )
    document["prices"] += deepcopy(missing)
    # A merged book counts from now on, whenever the one before it began.
    document.pop("effective_from", None)
    return Merged(document=document, added=len(missing))


def _place(channel: Json) -> tuple[Any, ...]:
    return (channel["route_type"], channel["brand"], channel["dialect"], channel["base_url"].rstrip("/"))
