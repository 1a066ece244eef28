"""The embedded engines of a home: those that the caller's environment does not name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.environment import POSTGRES_PASSWORD, SERVICE_PASSWORDS, own
from deploy.local.home import Home
from deploy.local.kafka.jars import resolve
from deploy.local.kafka.node import KafkaNode
from deploy.local.postgres.account import unprivileged
from deploy.local.postgres.binaries import binaries
from deploy.local.postgres.logins import urls_of
from deploy.local.postgres.server import PostgresServer, answers
from deploy.local.processes import ENGINES
from deploy.local.readiness import Check, port_open
from deploy.local.supervisor_config import Program

DATABASE = "tollbook"
POSTGRES_STOP_S = 40
KAFKA_STOP_S = 40


@dataclass(frozen=True, kw_only=True)
class Engines:
    """Where the ledger and the record live. `postgres` and `kafka` are None when they are somebody else's.

    `database_url` is the tables' owner's; `service_urls` are those of the services that log in as themselves.
    """

    database_url: str
    service_urls: Mapping[str, str]
    kafka_bootstrap_servers: str
    postgres: PostgresServer | None
    kafka: KafkaNode | None

    def programs(self, home: Home) -> list[Program]:
        """Return what supervisord has to run for the embedded ones."""
        found = []
        if self.postgres:
            found.append(_postgres_program(home, self.postgres))
        if self.kafka:
            found.append(_kafka_program(home, self.kafka))
        return found

    def checks(self) -> list[Check]:
        """Return how to tell that the embedded ones are ready."""
        found = []
        if self.postgres:
            found.append(postgres_check(self.postgres.dsn("postgres")))
        if self.kafka:
            found.append(kafka_check(self.kafka.port))
        return found

    def prepare(self) -> None:
        """Bring the embedded ones' directories and settings up to date."""
        if self.postgres:
            self.postgres.prepare()
        if self.kafka:
            self.kafka.prepare()


def wanted_ports(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names (of `processes.ENGINE_PORTS`) of the ports that the embedded engines need."""
    postgres = set() if environ.get("DATABASE_URL") else {"postgres"}
    kafka = set() if environ.get("KAFKA_BOOTSTRAP_SERVERS") else {"kafka", "kafka-controller"}
    return frozenset(postgres | kafka)


def engines_of(home: Home, environ: Mapping[str, str], ports: Mapping[str, int], secret: Mapping[str, str]) -> Engines:
    """Decide which engines are embedded; the first call fetches what they are made of."""
    database_url, bootstrap_servers = environ.get("DATABASE_URL"), environ.get("KAFKA_BOOTSTRAP_SERVERS")
    postgres = None if database_url else _postgres(home, ports["postgres"], secret[POSTGRES_PASSWORD])
    kafka = None if bootstrap_servers else _kafka(home, ports)
    return Engines(
        database_url=database_url or (postgres.dsn(DATABASE) if postgres else ""),
        service_urls=_service_urls(postgres, secret) if postgres else urls_of(environ),
        kafka_bootstrap_servers=bootstrap_servers or (kafka.bootstrap_servers if kafka else ""),
        postgres=postgres,
        kafka=kafka,
    )


def _service_urls(postgres: PostgresServer, secret: Mapping[str, str]) -> dict[str, str]:
    logins = {service: (f"{service}_login", secret[name]) for service, name in SERVICE_PASSWORDS.items()}
    return {service: postgres.dsn(DATABASE, login) for service, login in logins.items()}


def postgres_check(dsn: str) -> Check:
    """Return how to tell that Postgres answers queries."""
    probe = answers(dsn)
    return Check(process="postgres", probe=lambda _: None if probe() else "it does not answer queries")


def kafka_check(port: int) -> Check:
    """Return how to tell that Kafka is there: it opens its port last of all."""
    return Check(process="kafka", probe=port_open(port))


def _postgres(home: Home, port: int, password: str) -> PostgresServer:
    account = unprivileged()
    inside = account.can_reach(home.path)
    return PostgresServer(
        directory=(home.path if inside else _outside(home)) / "postgres",
        bin_dir=binaries(account, lambda: _outside(home)),
        account=account,
        port=port,
        password=password,
    )


def _outside(home: Home) -> Path:
    """Make the directory for what Postgres's account cannot reach inside the home."""
    home.outside.mkdir(parents=True, exist_ok=True)
    for directory in (home.outside.parent, home.outside):
        directory.chmod(0o755)
    return home.outside


def _kafka(home: Home, ports: Mapping[str, int]) -> KafkaNode:
    return KafkaNode(
        directory=home.path / "kafka", jars=resolve(), port=ports["kafka"], controller_port=ports["kafka-controller"]
    )


def _postgres_program(home: Home, server: PostgresServer) -> Program:
    return Program(
        name="postgres",
        group=ENGINES,
        command=server.command(),
        directory=Path("/"),
        environment=own(home, "postgres", None),
        stop_signal="INT",
        stop_wait_s=POSTGRES_STOP_S,
        # The postmaster tells its children itself; a SIGINT to one of those would only cancel its query.
        stop_as_group=False,
        user=server.account.name,
    )


def _kafka_program(home: Home, node: KafkaNode) -> Program:
    return Program(
        name="kafka",
        group=ENGINES,
        command=node.command(),
        directory=node.directory,
        environment=own(home, "kafka", None),
        stop_wait_s=KAFKA_STOP_S,
    )
