"""`python -m tests.bench`: measure the running stack; exit code 1 where a request failed, 2 where the run cannot be made."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from tests.bench.cells import CELLS, PACED
from tests.bench.errors import BenchError
from tests.bench.figures import Run
from tests.bench.report import show
from tests.bench.run import Plan, run
from tests.bench.stack import RunningStack, bench_directory, home_path

SECONDS = 15.0
QUICK_SECONDS = 3.0
WIDTH = 140


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SECONDS:.0f} s a cell instead of {SECONDS:.0f}")
    parser.add_argument("--seconds", type=float, help="seconds a cell")
    parser.add_argument("--paced", action="store_true", help="also 32 streams at a chunk every 10 ms, as a model writes")
    parser.add_argument("--peers", action="store_true", help="also LiteLLM's proxy, installed into .bench/peers/venv")
    parser.add_argument("--no-tollbook", action="store_true", help="only the upstream and the peers: needs no stack")
    parser.add_argument("--home", help="the stack's home (default: TOLLBOOK_HOME, else .tollbook in the checkout)")
    parser.add_argument("--out", help="store the JSON here too")
    return parser.parse_args()


def _store(found: Run, out: str | None) -> Path:
    path = bench_directory() / f"{found.started_at.replace(':', '')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = found.model_dump_json(indent=2) + "\n"
    path.write_text(text)
    if out:
        Path(out).write_text(text)
    return path


def main() -> int:
    """Run, print, store; gives the exit code."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    seconds = arguments.seconds or (QUICK_SECONDS if arguments.quick else SECONDS)
    stack = None
    try:
        if not arguments.no_tollbook:
            stack = RunningStack(home_path(arguments.home))
        cells = (*CELLS, PACED) if arguments.paced else CELLS
        plan = Plan(cells=cells, seconds=seconds, stack=stack, with_peers=arguments.peers, say=console.print)
        found = run(plan)
    except BenchError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 2
    finally:
        if stack is not None:
            stack.close()
    show(found, console)
    console.print(f"stored in {_store(found, arguments.out)}")
    if any(one.errors for one in found.of("tollbook")):
        return 1
    return 2 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
