"""The stack from the command line: `python -m deploy.local up|down|clean|status|logs|restart|stop|start|seed|backup`."""

import os
from typing import Annotated

import typer
from rich.table import Table

from deploy.local import prerequisites
from deploy.local.backup.commands import commands as backup_commands
from deploy.local.kafka.jars import jars_dir, resolve
from deploy.local.postgres.account import unprivileged
from deploy.local.processes import select
from deploy.local.progress import Progress
from deploy.local.stack import Stack
from deploy.local.stackfile import StackFile
from deploy.local.terminal import console, explained

app = typer.Typer(help="Tollbook on one machine.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Name = Annotated[str, typer.Argument(help="a process, as `status` names it")]


@app.command()
def up(
    names: Annotated[list[str] | None, typer.Argument(help="only these processes (all by default)")] = None,
    seed: Annotated[bool, typer.Option(help="create the demo account, prices and routes")] = True,
) -> None:
    """Start the stack, wait until it is ready, print where it is."""
    with explained():
        _print(_stack().up(names, seed=seed))


@app.command()
def prepare(tests: Annotated[bool, typer.Option(help="Also what only tests need: a browser.")] = False) -> None:
    """Install Java and Maven where they are missing and may be installed, make Postgres's account, and fetch Kafka."""
    progress = Progress(console)
    with explained():
        prerequisites.ensure(progress, tests=tests)
        unprivileged()  # once, before test sessions that start side by side would each make it
        if not jars_dir().is_dir():
            with progress.step("Fetching Apache Kafka"):
                resolve()


@app.command()
def down() -> None:
    """Stop the stack; its data stays."""
    with explained():
        _stack().down()
    console.print("Tollbook is down; its data stays.")


@app.command()
def clean() -> None:
    """Stop the stack and remove all its data."""
    with explained():
        stack = _stack()
        stack.clean()
    console.print(f"Removed {stack.home.path}.")


@app.command()
def status() -> None:
    """Show the processes, their ports and process ids."""
    stack = _stack()
    ports = stack.ports()
    table = Table("process", "state", "port", "pid", "since", box=None)
    for name, info in stack.status().items():
        table.add_row(name, info.state, str(ports.get(name, "")), str(info.pid or ""), info.description)
    console.print(table if table.row_count else "Tollbook is down.")
    if not table.row_count:
        raise typer.Exit(3)


@app.command()
def logs(names: Annotated[list[str] | None, typer.Argument(help="only these processes")] = None) -> None:
    """Follow the logs."""
    directory = _stack().home.logs
    files = [str(directory / f"{name}.log") for name in names or ()] or sorted(map(str, directory.glob("*.log")))
    if not files:
        console.print("There are no logs yet.")
        raise typer.Exit(3)
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])  # noqa: S606 - the follower takes this process's place


@app.command()
def start(name: Name) -> None:
    """Start one process and wait until it is ready."""
    with explained():
        _stack().start(name)


@app.command()
def stop(name: Name) -> None:
    """Stop one process."""
    with explained():
        _stack().stop(name)


@app.command()
def restart(name: Name) -> None:
    """Stop one process and start it again."""
    with explained():
        _stack().restart(name)


@app.command()
def upgrade(
    drain_seconds: Annotated[float, typer.Option(help="how long a replaced process may take to finish")] = 600.0,
) -> None:
    """Bring a running stack to the code that is installed now, without refusing a request."""
    with explained():
        _stack().upgrade(drain_s=drain_seconds)
    console.print("Upgraded. Prove it: .venv/bin/tollbook ledger check")


@app.command()
def seed() -> None:
    """Bring the running stack to the demo's state, as `up` does."""
    with explained():
        _print(_stack().reseed())


def _stack() -> Stack:
    return Stack(progress=Progress(console))


app.add_typer(backup_commands(_stack), name="backup")


def _print(described: StackFile) -> None:
    urls = {process.name: getattr(described, f"{process.name}_url", None) for process in select(None)}
    for name, url in urls.items():
        if url:
            console.print(f"  {name:<12} {url}")
    console.print(f"  {'postgres':<12} {described.postgres_dsn}")
    console.print(f"  {'kafka':<12} {described.kafka_bootstrap_servers}")
    if described.analytics_url:
        console.print(f"  {'dashboard':<12} {described.analytics_url}/dashboard")
    if described.demo:
        console.print(f"  {'demo key':<12} {described.demo.api_key}\n\nTry it:\n{_curl(described)}", markup=False)


def _curl(described: StackFile) -> str:
    assert described.demo is not None
    body = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hello"}]}'
    return (
        f"curl {described.edge_url}/v1/chat/completions -H 'content-type: application/json' \\\n"
        f"  -H 'authorization: Bearer {described.demo.api_key}' -d '{body}'"
    )
