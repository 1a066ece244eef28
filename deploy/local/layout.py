"""What a start of the stack decides: which engines are embedded, who listens where, what everyone is told."""

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.local import environment, prerequisites
from deploy.local.engines import Engines, engines_of, wanted_ports
from deploy.local.home import Home, read_json, write_json, write_private
from deploy.local.ports import assign
from deploy.local.processes import ENGINE_PORTS, MIGRATIONS, PROCESSES, Process
from deploy.local.programs import programs_of
from deploy.local.progress import Progress
from deploy.local.supervisor_config import render


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The decisions. `environment` is the whole environment of a process, but for what only it is told.

    Its DATABASE_URL is the tables' owner's: for migrations, never for a service.
    """

    processes: tuple[Process, ...]
    ports: Mapping[str, int]
    engines: Engines
    environment: Mapping[str, str]


def prepare(
    home: Home, environ: Mapping[str, str], wanted: tuple[Process, ...], *, fixed_ports: bool, progress: Progress
) -> Layout:
    """Make all that the stack is started from: the engines' parts, ports, secrets and supervisord's settings.

    Nothing of this home may run now, because ports are taken for free when nobody listens on them.
    """
    if "kafka" in wanted_ports(environ):
        prerequisites.ensure(progress)
    ports = _assign_ports(home, environ, fixed=fixed_ports)
    with progress.step("Fetching and preparing Postgres and Kafka"):
        layout = _layout(home, environ, wanted, ports)
        layout.engines.prepare()
    urls = {service: layout.engines.database_url for service in MIGRATIONS} | dict(layout.engines.service_urls)
    programs = [*layout.engines.programs(home), *programs_of(home, wanted, ports, urls)]
    write_private(home.supervisor_config, render(home, programs))
    return layout


def _assign_ports(home: Home, environ: Mapping[str, str], *, fixed: bool) -> dict[str, int]:
    """Choose the ports of all processes, also of those that this start leaves out, and remember them for the next time."""
    preferred = {name: port for name, port in ENGINE_PORTS.items() if name in wanted_ports(environ)}
    preferred |= {process.name: process.port for process in PROCESSES}
    earlier = read_json(home.ports_file)
    ports = assign(preferred, earlier, fixed=fixed)
    write_json(home.ports_file, earlier | ports)
    return ports


def _layout(home: Home, environ: Mapping[str, str], wanted: tuple[Process, ...], ports: Mapping[str, int]) -> Layout:
    secret = environment.with_callers_key(environment.load_secrets(home), environ)
    engines = engines_of(home, environ, ports, secret)
    shared = environment.shared(
        secret=secret,
        ports=ports,
        database_url=engines.database_url,
        kafka_bootstrap_servers=engines.kafka_bootstrap_servers,
        caller=environ,
    )
    # What several processes share; each has a data directory of its own beside it.
    kept = {"TOLLBOOK_CHECKPOINT_FILE": str(home.checkpoint_file), "TOLLBOOK_OBJECT_STORE_URL": f"file://{home.objects}"}
    return Layout(processes=wanted, ports=ports, engines=engines, environment=dict(environ) | kept | shared)
