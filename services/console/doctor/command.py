"""`tollbook doctor`: what is wrong with an installation, and how to mend it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.topics import topics
from services.console.connections import find_source
from services.console.doctor import engine_verdicts, machine_look
from services.console.doctor.expected import SERVICES, migration_files, role_of
from services.console.doctor.findings import Finding, Status, count, fail, skip
from services.console.doctor.service_look import Check, ServiceLook
from services.console.doctor.service_verdicts import clock
from services.console.errors import FOUND_WRONG, ConsoleError, HintedError, RefusedError
from services.console.profiles import read_profiles
from services.console.session import Json, Session, session_of
from services.console.stack_file import CHECKOUT, stack_file

FORBIDDEN = 403
STYLES: Mapping[Status, str | None] = {"ok": None, "warn": "yellow", "fail": "red", "skip": "dim"}


@dataclass(frozen=True, kw_only=True)
class Where:
    """What is known of the installation beside its services. `home`: the data of a stack of this machine."""

    stack: Mapping[str, Any]
    home: Path | None
    dsn: str | None
    kafka: str | None


def doctor(
    context: typer.Context,
    *,
    database_url: Annotated[
        str | None,
        typer.Option(envvar="DATABASE_URL", metavar="DSN", help="Postgres, with its owner's login; by default the stack's."),
    ] = None,
    kafka: Annotated[
        str | None, typer.Option(envvar="KAFKA_BOOTSTRAP_SERVERS", metavar="HOST:PORT", help="By default the stack's.")
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="TOLLBOOK_API_KEY", help="To try the object store; by default the demo's of the stack.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 for a warning too.")] = False,
    as_json: Json = False,
) -> None:
    """Look at services, Postgres, Kafka, channels, prices and this machine, and say what to do about what is wrong.

    Nothing is changed, but that a small file is kept and removed again. Exit code 1 where a check failed.
    """
    session = session_of(context)
    found: list[Finding] = []
    for name, check in _checks(_where(session, database_url, kafka), ServiceLook(session, api_key)):
        for finding in _made(name, check):
            found.append(finding)
            if not as_json:
                _say(session, finding)
    counts = count(found)
    if as_json:
        session.terminal.json({"ok": not counts["fail"], "counts": counts, "checks": [asdict(each) for each in found]})
    else:
        session.terminal.say(
            f"\n{counts['fail']} failed, {counts['warn']} warnings, {counts['ok']} ok, {counts['skip']} not looked at"
        )
    if counts["fail"] or (strict and counts["warn"]):
        raise typer.Exit(FOUND_WRONG)


def _where(session: Session, dsn: str | None, kafka: str | None) -> Where:
    """What the flags say, else the stack's file."""
    stack = find_source(session.given, session.variables, read_profiles(session.settings)).stack
    file = session.given.stack or stack_file(session.variables)
    return Where(
        stack=stack,
        home=file.parent if stack.get("postgres_dsn") and file.is_file() else None,
        dsn=dsn or stack.get("postgres_dsn"),
        kafka=kafka or stack.get("kafka_bootstrap_servers"),
    )


def _checks(where: Where, look: ServiceLook) -> Iterator[tuple[str, Check]]:
    services = dict(look.checks())
    yield "ports", lambda: machine_look.ports(where.stack)
    yield "services", services.pop("services")
    yield "postgres", lambda: _postgres(where.dsn)
    yield "kafka", lambda: _kafka(where.kafka)
    yield from services.items()
    yield "disk", lambda: machine_look.disk(where.home)
    yield "java", lambda: machine_look.java(where.stack, where.home)


def _postgres(dsn: str | None) -> list[Finding]:
    if dsn is None:
        return [
            skip("postgres", "nobody said where Postgres is", "give --database-url or DATABASE_URL, with its owner's login")
        ]
    # Here, so that no other command waits for the drivers of engines that it does not ask.
    from services.console.doctor.postgres_look import Seen  # noqa: PLC0415

    seen = Seen.at(dsn)
    return [
        *engine_verdicts.postgres_settings(seen.settings),
        *engine_verdicts.migrations(migration_files(CHECKOUT / "services"), seen.applied),
        *engine_verdicts.roles([role_of(service) for service in SERVICES], seen.roles),
        *clock("Postgres", seen.clock, seen.asked_at),
    ]


def _kafka(servers: str | None) -> list[Finding]:
    if servers is None:
        return [skip("kafka", "nobody said where Kafka is", "give --kafka or KAFKA_BOOTSTRAP_SERVERS")]
    from services.console.doctor.kafka_look import look  # noqa: PLC0415 - as above

    seen, brokers = look(servers, topics())
    return engine_verdicts.kafka_topics(topics(), seen, brokers)


def _made(name: str, check: Check) -> list[Finding]:
    """What a check found, or why it could not be made: one that cannot be made leaves the others be."""
    try:
        return list(check())
    except HintedError as error:
        return [fail(name, f"could not be looked at: {error.fact}", error.hint)]
    except RefusedError as error:
        if error.status == FORBIDDEN:
            return [skip(name, "needs operator or on-call", "ask one who is, or give the admin token")]
        return [fail(name, f"could not be looked at: {error}", "mend what is said above, and look again")]
    except ConsoleError as error:
        return [fail(name, f"could not be looked at: {error}", "mend what is said above, and look again")]


def _say(session: Session, finding: Finding) -> None:
    session.terminal.say(f"{finding.status:<5}{finding.check + ':':<15} {finding.why}", style=STYLES[finding.status])
    if finding.todo and finding.status != "ok":
        session.terminal.say(f"{'':<21}to do: {finding.todo}")
