"""Verdicts on Postgres, Kafka and the machine. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.topics import Topic
from services.console.doctor.findings import Finding, fail, names, ok, or_ok, warn

POSTGRES_LEAST = 17
JAVA_LEAST = 17
DURABLE = ("fsync", "full_page_writes")
GIB = 1 << 30
DISK_WARN, DISK_FAIL = 5 * GIB, GIB
WITHOUT_LOGIN = "make it a login of its own (`python -m deploy.local.postgres.logins`, docs/contracts.md, Postgres)"


def postgres_settings(settings: Mapping[str, str]) -> list[Finding]:
    """Whether a commit that was answered stays after a power cut, and the server is new enough."""
    found = []
    version = int(settings["server_version_num"]) // 10_000
    if version < POSTGRES_LEAST:
        found.append(fail("postgres", f"Postgres is version {version}", f"Tollbook needs {POSTGRES_LEAST} or newer"))
    off = [name for name in DURABLE if settings[name] != "on"]
    off += ["synchronous_commit"] if settings["synchronous_commit"] == "off" else []
    if off:
        todo = "ALTER SYSTEM SET … = 'on' (and ALTER DATABASE or ROLE where it was set there), then start Postgres again"
        found.append(fail("postgres", f"{names(off)} is off: a power cut loses postings that were answered", todo))
    return or_ok("postgres", found, f"version {version}, fsync, synchronous_commit and full_page_writes on")


def migrations(files: Mapping[str, Sequence[str]], applied: Mapping[str, Sequence[str] | None]) -> list[Finding]:
    """Whether each service's tables are those of this Tollbook. None: the service has no tables at all."""
    found = []
    for service, wanted in files.items():
        there = applied.get(service)
        missing = [name for name in wanted if name not in (there or ())]
        unknown = [name for name in there or () if name not in wanted]
        if missing:
            todo = f"python -m services.{service}.migrate (`make up` does it)"
            found.append(fail("migrations", f"{service} lacks {names(missing)}", todo))
        if unknown:
            todo = "run the Tollbook that made them: an older one may not know these tables"
            found.append(
                warn("migrations", f"{service} has migrations that this Tollbook does not know: {names(unknown)}", todo)
            )
    return or_ok("migrations", found, f"every table of {names(files)} is today's")


@dataclass(frozen=True, kw_only=True)
class Roles:
    """What the database says of the services' roles: which exist, which may see whose schema, who is logged in."""

    existing: frozenset[str]
    crossing: tuple[tuple[str, str], ...]
    """(role, schema of another service that it may use)."""
    rewriting: tuple[str, ...]
    """Tables written once that settlement's role may change."""
    logins: frozenset[str]


def roles(wanted: Iterable[str], seen: Roles) -> list[Finding]:
    """Whether no service can read or write what is another's."""
    found = []
    missing = sorted(set(wanted) - seen.existing)
    if missing:
        todo = "let a login that may make roles run the migrations again"
        found.append(warn("roles", f"there is no role {names(missing)}: the services are not kept apart", todo))
    if seen.crossing:
        said = names(f"{role} may use {schema}" for role, schema in seen.crossing)
        found.append(fail("roles", said, "REVOKE it, and run the migrations again, which grant what is meant"))
    if seen.rewriting:
        todo = "REVOKE UPDATE, DELETE on them, and run settlement's migrations again"
        found.append(fail("roles", f"settlement's role may change what is written once: {names(seen.rewriting)}", todo))
    if len(seen.logins) == 1:
        found.append(warn("roles", f"every service logs in as {next(iter(seen.logins))}", WITHOUT_LOGIN))
    return or_ok("roles", found, "each service logs in as itself and sees its own tables alone")


@dataclass(frozen=True, kw_only=True)
class TopicSeen:
    """A topic as Kafka has it."""

    partitions: int
    replicas: int
    settings: Mapping[str, str]


def kafka_topics(wanted: Mapping[str, Topic], seen: Mapping[str, TopicSeen], brokers: int) -> list[Finding]:
    """Whether the topics are there, and keep what they are meant to keep."""
    found = []
    if missing := sorted(wanted.keys() - seen.keys()):
        found.append(fail("kafka", f"there is no topic {names(missing)}", "python -m deploy.local.topics (`make up` does it)"))
    for name in sorted(wanted.keys() & seen.keys()):
        found += _topic(wanted[name], seen[name])
    alone = [name for name in sorted(wanted.keys() & seen.keys()) if seen[name].replicas < min(brokers, 3)]
    if alone and brokers > 1:
        todo = "raise their replication factor (kafka-reassign-partitions), best to 3 with min.insync.replicas=2"
        found.append(warn("kafka", f"too few copies on {brokers} brokers: {names(alone)}", todo))
    return or_ok("kafka", found, f"{len(wanted)} topics, kept as they are meant to be")


def _topic(wanted: Topic, seen: TopicSeen) -> list[Finding]:
    found = []
    change = f"kafka-configs --alter --entity-type topics --entity-name {wanted.name} --add-config"
    policy = seen.settings.get("cleanup.policy", "")
    if set(policy.split(",")) != set(wanted.cleanup_policy.split(",")):
        why = f"{wanted.name} has cleanup.policy={policy}, not {wanted.cleanup_policy}"
        risk = "records of the books are lost" if "compact" in policy else "freezes and limits are forgotten"
        found.append(fail("kafka", f"{why}: {risk}", f"{change} cleanup.policy={wanted.cleanup_policy}"))
    kept_ms = int(seen.settings.get("retention.ms", "-1"))
    if "compact" not in wanted.cleanup_policy and _shorter(kept_ms, wanted.retention_ms):
        why = f"{wanted.name} keeps records for {kept_ms} ms only, and they are to be kept {_span(wanted.retention_ms)}"
        found.append(fail("kafka", why, f"{change} retention.ms={wanted.retention_ms}"))
    kept_bytes = int(seen.settings.get("retention.bytes", "-1"))
    if wanted.retention_ms == -1 and "compact" not in wanted.cleanup_policy and kept_bytes != -1:
        why = f"{wanted.name} keeps {kept_bytes} bytes of each partition only, and is to be kept for ever"
        found.append(fail("kafka", why, f"{change} retention.bytes=-1"))
    if seen.partitions != wanted.partitions:
        why = f"{wanted.name} has {seen.partitions} partitions, not {wanted.partitions}"
        todo = "stop, and restore the topic: with another number, an account's events are no longer in order"
        found.append(fail("kafka", why, todo))
    return found


def _shorter(kept_ms: int, wanted_ms: int) -> bool:
    return kept_ms != -1 and (wanted_ms == -1 or kept_ms < wanted_ms)


def _span(wanted_ms: int) -> str:
    return "for ever" if wanted_ms == -1 else f"for {wanted_ms} ms"


def disk(place: Path, free: int) -> list[Finding]:
    """Whether there is room for what comes: Kafka and Postgres stop where their disk is full."""
    said = f"{free / GIB:.1f} GiB are free where {place} lies"
    todo = "make room, or move the data (TOLLBOOK_HOME) to a larger disk: full disks stop Kafka and Postgres"
    if free < DISK_FAIL:
        return [fail("disk", said, todo)]
    return [warn("disk", said, todo)] if free < DISK_WARN else [ok("disk", said)]


def java(text: str | None) -> list[Finding]:
    """Whether the Java that runs the embedded Kafka is new enough. None: there is none."""
    todo = f"install Java {JAVA_LEAST} or newer (on Debian: apt-get install openjdk-17-jre-headless)"
    if text is None:
        return [fail("java", "there is no `java` here, and Kafka is an embedded one", todo)]
    match = re.search(r'version "(?:1\.)?([0-9]+)', text)
    if match is None:
        return [warn("java", "`java -version` does not say its version", todo)]
    version = int(match[1])
    return [fail("java", f"Java is version {version}", todo)] if version < JAVA_LEAST else [ok("java", f"version {version}")]
