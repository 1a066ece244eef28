"""The steps of `tollbook init`, each of which finds what is there and adds what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from services.console.entities.creating import create
from services.console.entities.naming import ACCOUNT, KEY, PROJECT, Kind
from services.console.errors import ConsoleError, RefusedError
from services.console.paging import rows
from services.console.session import Session
from services.console.setup.answers import Answers, Money, keys_of
from services.console.setup.catalog import Merged, Ready, merged_prices, merged_routes

PAYER = "init"
"""The provider of the first top-up: it is booked once for an account and bucket, however often init runs."""
NO_PRICE = "no_price"
YAML = "application/yaml"
USERS = "/admin/users"
POSTED = 201


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step came to: `new` where it added something."""

    name: str
    said: str
    new: bool
    facts: dict[str, Any] = field(default_factory=dict)


def prices(session: Session, own: Ready, answers: Answers) -> Step:
    """The prices of the provider's models, beside those that are in force, or in their place where that was asked for."""
    with session.connect("settlement") as settlement:
        current = _book_in_force(settlement)
        if answers.prices == "keep":
            return Step(name="prices", said="left alone", new=False)
        replaced = current is None or answers.prices == "replace"
        merged = merged_prices(None if replaced or current is None else current["book"], own)
        if not merged.added:
            return Step(name="prices", said="every model has a price already", new=False)
        expected = {} if current is None else {"expected_version": str(current["version"])}
        done = settlement.send("/admin/price-books", _yaml(merged.document), YAML, **expected)
    said = f"{merged.added} of {own.provider} published, version {done['version']}: compare them with what you agreed on"
    return Step(name="prices", said=said, new=True, facts={"version": done["version"], "added": merged.added})


def _book_in_force(settlement: Any) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = settlement.get("/admin/price-books/current")
    except RefusedError as error:
        if error.code == NO_PRICE:
            return None
        raise
    return found


def current_routes(session: Session) -> dict[str, Any]:
    """The route table in force, with its version (0 for none)."""
    with session.connect("router") as router:
        found: dict[str, Any] = router.get("/admin/routes/export")
    return found


def routes(session: Session, own: Ready, answers: Answers, current: dict[str, Any]) -> Step:
    """The provider's channel and models, beside those that are in force, or in their place where that was asked for."""
    if answers.routes == "keep":
        return Step(name="routes", said="left alone", new=False)
    own = own.told(base_url=answers.base_url, keys=keys_of(answers.key_variable, answers.secret), channel_id=answers.channel)
    merged = _wanted(own, answers, current)
    first = {"channel": own.channel["id"], "asked_first": merged.answered_by(own.channel["id"])}
    if not merged.notes:
        return Step(name="routes", said="the channel and its models are there", new=False, facts=first)
    with session.connect("router") as router:
        done = router.send("/admin/routes", _yaml(merged.document), YAML, expected_version=str(current["version"]))
    faults = [fault for fault in done.get("faults", []) if fault["channel"] == own.channel["id"]]
    said = "; ".join((*merged.notes, *(f"out of service: {fault['reason']}" for fault in faults)))
    facts = {"version": done["version"], "notes": list(merged.notes), "faults": faults, **first}
    return Step(name="routes", said=f"version {done['version']}: {said}", new=True, facts=facts)


def _wanted(own: Ready, answers: Answers, current: dict[str, Any]) -> Merged:
    if answers.routes == "replace" or not current["table"]["channels"]:
        place = f"{len(own.table['models'])} models at {own.channel['base_url']}"
        return Merged(document=own.table, added=1, notes=(f"the table is that of {own.provider} now, {place}",))
    return merged_routes(current["table"], own)


def entity(session: Session, kind: Kind, name: str, body: dict[str, Any], **within: str) -> Step:
    """An account or project of this name: the one that there is, or a new one."""
    with session.connect("edge") as edge:
        named = [row for row in rows(edge, kind.path, **within) if row["name"] == name]
        if len(named) > 1:
            raise ConsoleError(f"several {kind.word}s are called {name!r}: give another --{kind.word}-name")
        made = named[0] if named else create(session, edge, kind.path, {**body, "name": name}, key=None)
    entity_id = made[kind.id_field]
    said = f"{name} ({entity_id}) {'is there' if named else 'made'}"
    return Step(name=kind.word, said=said, new=not named, facts={"id": entity_id})


def account(session: Session, answers: Answers) -> Step:
    """The first account."""
    return entity(session, ACCOUNT, answers.account, {})


def project(session: Session, answers: Answers, account_id: str) -> Step:
    """Its project."""
    return entity(session, PROJECT, answers.project, {"account_id": account_id}, account_id=account_id)


def key(session: Session, answers: Answers, project_id: str) -> Step:
    """Its key. One that is there is not shown again: nobody can."""
    with session.connect("edge") as edge:
        named = [
            row for row in rows(edge, KEY.path, project_id=project_id) if row["name"] == answers.key and not row["revoked"]
        ]
        if named:
            said = f"{answers.key} ({named[0]['key_id']}) is there; it was shown when it was made, and nobody can show it again"
            return Step(name="key", said=said, new=False, facts={"id": named[0]["key_id"]})
        made = create(session, edge, KEY.path, {"project_id": project_id, "name": answers.key}, key=None)
    facts = {"id": made["key_id"], "api_key": made["api_key"]}
    return Step(name="key", said=f"{answers.key} ({made['key_id']}) made", new=True, facts=facts)


def owner(session: Session, answers: Answers, account_id: str) -> Step:
    """A user who owns the account, and a first token for a new one. A token that is there is not shown again."""
    with session.connect("edge") as edge:
        named = [row for row in rows(edge, USERS, account_id=account_id) if row["name"] == answers.owner]
        if named:
            said = f"{answers.owner} ({named[0]['user_id']}) is there"
            return Step(name="owner", said=said, new=False, facts={"id": named[0]["user_id"]})
        grants = [{"role": "owner", "account_id": account_id}]
        user = create(session, edge, USERS, {"name": answers.owner, "grants": grants}, key=None)
        token = create(session, edge, f"{USERS}/{user['user_id']}/tokens", {"name": PAYER}, key=None)
    facts = {"id": user["user_id"], "access_token": token["access_token"]}
    return Step(name="owner", said=f"{answers.owner} ({user['user_id']}) made", new=True, facts=facts)


def topups(session: Session, answers: Answers, account_id: str) -> Iterator[Step]:
    """The first payments, once for ever."""
    with session.connect("settlement") as settlement:
        for paid in answers.topups:
            payment = {"provider": PAYER, "payment_id": f"{PAYER}-{account_id}-{paid.bucket}"}
            body = {"account_id": account_id, "bucket": paid.bucket, "amount": paid.amount, **payment}
            try:
                with settlement.opened("POST", "/admin/topups", json=body) as reply:
                    new = reply.status_code == POSTED
            except RefusedError as error:
                if error.status != 409:
                    raise
                said = f"{paid.bucket} got its first top-up before, of another amount: left as it is"
                yield Step(name="top-up", said=said, new=False)
            else:
                said = f"{paid.bucket} {'gets' if new else 'got'} a first top-up of {paid.amount}"
                yield Step(name="top-up", said=said, new=new, facts={"bucket": paid.bucket, "amount": paid.amount})


def budgets(session: Session, answers: Answers, account_id: str) -> Iterator[Step]:
    """Limits of buckets. One that is there is left as it is."""
    if not answers.budgets:
        return
    with session.connect("settlement") as settlement:
        currency_of = {each["id"]: each["currency"] for each in settlement.get("/admin/price-books/current")["book"]["buckets"]}
        there = {
            (row["id"], row["window"])
            for row in rows(settlement, "/admin/limits", account_id=account_id)
            if row["kind"] == "bucket" and row["limit"] is not None
        }
        for budget in answers.budgets:
            yield _budget(settlement, account_id, budget, currency_of, known=(budget.bucket, budget.window) in there)


def _budget(settlement: Any, account_id: str, budget: Money, currency_of: dict[str, str], *, known: bool) -> Step:
    if known:
        said = f"{budget.bucket} has a limit per {budget.window} already: left as it is"
        return Step(name="budget", said=said, new=False)
    if budget.bucket not in currency_of:
        raise ConsoleError(f"there is no bucket {budget.bucket}: there are {', '.join(sorted(currency_of))}")
    limit = {"kind": "bucket", "id": budget.bucket, "currency": currency_of[budget.bucket], "window": budget.window}
    settlement.post("/admin/limits", {"account_id": account_id, **limit, "limit": budget.amount})
    return Step(
        name="budget", said=f"{budget.bucket} spends at most {budget.amount} per {budget.window}", new=True, facts=limit
    )


def _yaml(document: dict[str, Any]) -> bytes:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=200).encode()
