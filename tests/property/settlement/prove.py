"""Drives the ledger through sequences of operations, in several processes at once, and counts what was really done.

`python -m tests.property.settlement.prove --backend memory --sequences 20000 --steps 50` ends with 1 at the first sequence
after which an invariant is broken or the model disagrees; it prints that sequence, made as short as Hypothesis can.
A sequence counts only when it has all of its steps: Hypothesis ends some earlier, and these come on top.
"""

import argparse
import logging
import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
import structlog
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from psycopg.conninfo import conninfo_to_dict

from tests import engines
from tests.property.settlement.backend import Backend
from tests.property.settlement.machine.ledger_machine import LedgerMachine
from tests.property.settlement.memory.ledger import MemoryLedger
from tests.property.settlement.postgres_ledger import PostgresLedger

PER_JOB = {"memory": 250, "postgres": 25}
"""Sequences of one job: so many that a process lives for about a minute."""
JOBS_PER_PROCESS = 4
ROUNDS = 20
"""How often a job goes on for the sequences that ended early."""


@dataclass
class Tally:
    """What was done: sequences with all of their steps, steps of all sequences, and how often each kind of operation ran."""

    sequences: int = 0
    steps: int = 0
    kinds: "Counter[str]" = field(default_factory=Counter)
    failure: str | None = None

    def add(self, other: "Tally") -> None:
        """Count another's too."""
        self.sequences += other.sequences
        self.steps += other.steps
        self.kinds += other.kinds
        self.failure = self.failure or other.failure

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kinds.items()))
        return f"{self.sequences} whole sequences, {self.steps} steps, {len(self.kinds)} kinds of operation: {kinds}"


def prove(  # noqa: PLR0917 - the sizes in the order of the command
    backend: str, server: str | None, sequences: int, steps: int, first_seed: int, processes: int
) -> Tally:
    """So many whole sequences on the backend; stops soon after a failure. `server` is Postgres's, for that backend."""
    per_job = min(PER_JOB[backend], -(-sequences // processes))
    sizes = [min(per_job, sequences - start) for start in range(0, sequences, per_job)]
    total = Tally()
    jobs = [(backend, server, size, steps, first_seed + at) for at, size in enumerate(sizes)]
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=JOBS_PER_PROCESS) as pool:
        for tally in pool.imap_unordered(_job, jobs):
            total.add(tally)
            print(f"{total.sequences} of {sequences} sequences, {total.steps} steps", flush=True)
            if total.failure is not None:
                break
    return total


def _job(asked: tuple[str, str | None, int, int, int]) -> Tally:
    return run(*asked)


def run(backend: str, server: str | None, sequences: int, steps: int, job_seed: int) -> Tally:
    """One job, in a process of its own."""
    tally = Tally()
    # The rules provoke what production logs about.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with _ledger(backend, server) as ledger, ledger.clock.in_force():
        for attempt in range(ROUNDS):
            if tally.sequences >= sequences or tally.failure:
                break
            _explore(ledger, tally, sequences - tally.sequences, steps, job_seed * ROUNDS + attempt)
    return tally


def _explore(ledger: Backend, tally: Tally, sequences: int, steps: int, hypothesis_seed: int) -> None:
    class Counted(LedgerMachine):
        def teardown(self) -> None:
            done = sum(self.steps.values())
            tally.steps += done
            tally.sequences += done == steps
            tally.kinds += self.steps

    limits = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    factory = seed(hypothesis_seed)(lambda: Counted(ledger))
    try:
        run_state_machine_as_test(factory, settings=limits)  # type: ignore[arg-type]  # a factory does, as its docs say
    except Exception as error:  # noqa: BLE001 - whatever the sequence raised is told where the processes meet
        tally.failure = f"seed {hypothesis_seed}\n" + "".join(traceback.format_exception(error))


@contextmanager
def _ledger(backend: str, server: str | None) -> Iterator[Backend]:
    if backend == "memory":
        yield MemoryLedger()
        return
    assert server is not None
    name = f"property_{uuid4().hex[:12]}"
    parts = conninfo_to_dict(server)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
        # Logins belong to the whole server: one process at a time makes sure of them.
        connection.execute("select pg_advisory_lock(1)")
        ledger = PostgresLedger(f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}")
        connection.execute("select pg_advisory_unlock(1)")
        try:
            yield ledger
        finally:
            ledger.close()
            connection.execute(f"drop database {name} with (force)".encode())


def main() -> int:
    """Parse the sizes, prove, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=sorted(PER_JOB), default="memory")
    parser.add_argument("--sequences", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    asked = parser.parse_args()
    started = time.monotonic()
    with engines.postgres_dsn() if asked.backend == "postgres" else nullcontext() as server:
        tally = prove(asked.backend, server, asked.sequences, asked.steps, asked.seed, asked.processes)
    print(f"{asked.backend}, seed {asked.seed}, {time.monotonic() - started:.0f} s: {tally}")
    if tally.failure is not None:
        print(tally.failure)
    return 1 if tally.failure is not None else 0


if __name__ == "__main__":
    sys.exit(main())
