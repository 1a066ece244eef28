"""The process table: what runs, in which order, on which port."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from deploy.local.errors import StackError

ENGINES = "engines"
SERVICES = "services"


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of ours. `service` names the package whose migration it needs.

    `ready` tells how to see that it can work: `http` by its /readyz or `port` by a connection. `handed_over`: clients wait for
    it, so supervisord opens its socket, and an upgrade starts the new one on it before the old one leaves.
    """

    name: str
    module: str
    port: int
    service: str | None = None
    ready: Literal["http", "port"] = "http"
    arguments: tuple[str, ...] = ()
    handed_over: bool = False


PROCESSES = (
    Process(
        name="provider",
        module="deploy.local.provider",
        port=8090,
        ready="port",
        arguments=("--host", "127.0.0.1", "--port", "{port}"),
    ),
    Process(name="settlement", module="services.settlement", port=8082, service="settlement", handed_over=True),
    Process(name="settlement-worker", module="services.settlement.worker", port=8084, service="settlement"),
    Process(name="router", module="services.router", port=8081, service="router", handed_over=True),
    Process(name="router-batch", module="services.router.batch", port=8086, service="router"),
    Process(name="edge", module="services.edge", port=8080, service="edge", handed_over=True),
    Process(name="analytics", module="services.analytics", port=8083, service="analytics"),
    Process(name="meter", module="services.analytics.meter", port=8085, service="analytics"),
)
# The order in which `python -m services.<name>.migrate` runs.
MIGRATIONS = ("settlement", "router", "edge", "analytics")
# Ports of the embedded engines; Kafka's controller needs one of its own.
ENGINE_PORTS = {"postgres": 54329, "kafka": 19092, "kafka-controller": 19093}


def select(names: Sequence[str] | None) -> tuple[Process, ...]:
    """Return the named processes in the table's order, all for None; raises StackError for a name that it lacks."""
    if names is None:
        return PROCESSES
    if unknown := set(names) - {process.name for process in PROCESSES}:
        raise StackError(f"no such process: {', '.join(sorted(unknown))}")
    return tuple(process for process in PROCESSES if process.name in names)
