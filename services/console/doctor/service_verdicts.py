"""Verdicts on what the services say of themselves. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.console.doctor.findings import Finding, fail, names, ok, or_ok, warn

LAG_WARN, LAG_FAIL = 1_000, 100_000
SKEW_WARN, SKEW_FAIL = timedelta(seconds=2), timedelta(seconds=30)
BOOK_OLD = timedelta(days=180)
Json = Mapping[str, Any]


def versions(own: Json, told: Mapping[str, Json]) -> list[Finding]:
    """Whether the services, and this command line, run the same Tollbook."""
    silent = [service for service, each in told.items() if "contracts" not in each]
    if silent:
        todo = "start them from this Tollbook"
        return [warn("versions", f"{names(silent)} does not say which version it runs: it is an older one", todo)]
    differ = {service: each for service, each in told.items() if each["contracts"] != own["contracts"]}
    if len({each["contracts"] for each in told.values()}) > 1:
        said = names(f"{service} {each['version']} ({each['contracts']})" for service, each in told.items())
        todo = "start every service from the same Tollbook"
        return [fail("versions", f"the services run different versions: {said}", todo)]
    if differ:
        each = next(iter(differ.values()))
        said = f"the services run {each['version']} ({each['contracts']})"
        said += f", this command line is {own['version']} ({own['contracts']})"
        return [warn("versions", said, "run the command line of the same Tollbook, or start the services anew")]
    return [ok("versions", f"all run {own['version']}, contracts {own['contracts']}")]


def clock(where: str, theirs: datetime, ours: datetime, doubt: timedelta = timedelta(0)) -> list[Finding]:
    """Whether a clock is that of this machine; `doubt` is how long it took to ask."""
    skew = abs(theirs - ours)
    apart = max(skew - doubt, timedelta(0))
    said = f"{where}'s clock is {skew.total_seconds():.1f} s from this machine's"
    todo = "let NTP (chrony, systemd-timesyncd) set the clocks of all machines: budgets, expiry and signatures go by them"
    if apart > SKEW_FAIL:
        return [fail("clock", said, todo)]
    return [warn("clock", said, todo)] if apart > SKEW_WARN else []


def lag(service: str, told: Json) -> list[Finding]:
    """How far a reader of Kafka is behind, and what waits to be published."""
    unknown = [row for row in told["partitions"] if row["lag"] is None]
    if unknown:
        return [fail("lag", f"{service} cannot ask Kafka where its topics end", "see that Kafka runs and is reachable from it")]
    behind = sum(row["lag"] for row in told["partitions"])
    waiting = {name: told[name] for name in ("outbox_pending", "ingress_pending") if told.get(name, 0) > LAG_WARN}
    found = []
    if behind > LAG_WARN:
        todo = f"see that {'settlement-worker' if service == 'settlement' else service} runs, and read its log"
        verdict = fail if behind > LAG_FAIL else warn
        found.append(verdict("lag", f"{service} has {behind} records of Kafka still to read", todo))
    for name, number in waiting.items():
        todo = "see that Kafka takes records (its disk, its log), and that settlement-worker runs"
        found.append(fail("lag", f"{number} events of settlement wait to be published ({name})", todo))
    return found


def channels(rows: Iterable[Json]) -> list[Finding]:
    """Channels that nobody may call, and why."""
    found = []
    for row in rows:
        name = row["id"]
        if row["out_of_service"]:
            todo = "set what it names in router's environment and start router again, or take the channel out of the table"
            found.append(fail("channel keys", f"{name} is out of service: {row['fault']}", todo))
        elif row["fault"]:
            found.append(
                warn("channel keys", f"{name} has a key that cannot be used: {row['fault']}", "mend or remove that key")
            )
        elif row.get("frozen"):
            why = (
                f"{name} was taken out of use by {row['freeze']['author']}: {row['freeze']['reason'] or 'no reason was given'}"
            )
            found.append(warn("channels", why, f"`tollbook channels unfreeze {name}` where it may be used again"))
        elif row["circuit"] != "closed":
            why = f"{name} rests after failures ({row['last_error_class']}), its circuit is {row['circuit']}"
            found.append(
                warn("channels", why, "see `tollbook routes channels` and the provider's status; it is tried again by itself")
            )
        elif row["keys_resting"]:
            why = f"{row['keys_resting']} of {row['keys']} keys of {name} rest ({row['last_error_class']})"
            found.append(warn("channels", why, "where a provider refuses a key, give the channel another"))
    return found


def unserved(table: Json, rows: Iterable[Json]) -> list[Finding]:
    """Models of which every channel is out of service."""
    out = {row["id"] for row in rows if row["out_of_service"]}
    lost = [model["id"] for model in table["models"] if all(each["channel"] in out for each in model["candidates"])]
    todo = "mend their channels, or `tollbook routes apply` a table without them"
    return [fail("models", f"nobody can answer {names(lost)}", todo)] if lost else []


def prices(table: Json, book: Json) -> list[Finding]:
    """Routed models that have no price: a route without one is refused."""
    types = {channel["id"]: channel["route_type"] for channel in table["channels"]}
    priced = {(price["route_type"], price["model"]) for price in book["prices"]}
    missing, lost = [], []
    for model in table["models"]:
        places = [(types[each["channel"]], each["upstream_model"]) for each in model["candidates"]]
        unpriced = [place for place in places if place not in priced]
        missing += [f"{name} on {route_type}" for route_type, name in unpriced if f"{name} on {route_type}" not in missing]
        if len(unpriced) == len(places):
            lost.append(model["id"])
    todo = "add them to the price file (`tollbook prices export`, edit, `tollbook prices apply`)"
    if lost:
        return [fail("prices", f"no route of {names(lost)} has a price: {names(missing)}", todo)]
    return [warn("prices", f"without a price, and so never called: {names(missing)}", todo)] if missing else []


def price_book(row: Json, now: datetime) -> list[Finding]:
    """Whether the book in force is one of today."""
    until = row.get("in_force_until")
    age = now - datetime.fromisoformat(row.get("in_force_from") or row["published_at"])
    if until is not None and datetime.fromisoformat(until) <= now:
        todo = "publish prices for today: `tollbook prices apply`"
        return [fail("price book", f"version {row['version']} was in force until {until}", todo)]
    if age > BOOK_OLD:
        todo = "compare it with the providers' prices, and publish what has changed: `tollbook prices apply`"
        return [warn("price book", f"version {row['version']} is {age.days} days old", todo)]
    return [ok("price book", f"version {row['version']} is in force, {age.days} days old")]


def sealed(told: Json) -> list[Finding]:
    """Whether every secret of a channel is sealed under the key of today."""
    current = told["current_key_id"]
    former = [row for row in told["sealed"] if row["key_id"] != current and row["secrets"]]
    number = sum(row["secrets"] for row in former)
    if former:
        return [warn("sealed keys", f"{number} secrets are sealed under former keys", "tollbook secrets rotate")]
    return [ok("sealed keys", "every stored secret is sealed under the current key")]


def introspection(answers: Mapping[str, int]) -> list[Finding]:
    """Whether the services can ask edge whose access token they are shown. `answers`: the status that a wrong token got."""
    deaf = [service for service, status in answers.items() if status != 401]
    todo = "give them edge's address and their own token (TOLLBOOK_EDGE_URL, TOLLBOOK_<SERVICE>_TOKEN, the same at edge)"
    why = f"{names(deaf)} cannot ask edge whose access token it is shown"
    return or_ok("introspection", [fail("introspection", why, todo)] if deaf else [], "a wrong access token opens nothing")
