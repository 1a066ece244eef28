"""`python -m services.analytics`: the loader and its API."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import structlog
import uvicorn

from services.analytics.app import build
from services.analytics.logs import configure_logging
from services.analytics.settings import Settings

STARTUP_POLL_S = 0.05
log = structlog.get_logger("analytics")


class _Server(uvicorn.Server):
    """uvicorn ends by raising the signal again; here SIGTERM is a clean end with status 0.

    `before_end` ends what would hold the end up: streams that have none of their own.
    """

    before_end: Callable[[], None]

    def end(self) -> None:
        """End, as a signal does."""
        self.before_end()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        self.before_end()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def main(settings: Settings) -> int:
    """Serve until a signal comes, or until the loader meets a bug; the exit status."""
    app = build(settings)
    server = _Server(
        uvicorn.Config(app, settings.host, settings.port, access_log=False, log_level="warning", timeout_graceful_shutdown=10)
    )
    server.before_end = app.state.live.close
    serving = asyncio.create_task(server.serve())
    while not serving.done():
        loading: asyncio.Task[None] | None = getattr(app.state, "loader_task", None)
        if loading is None:
            await asyncio.wait({serving}, timeout=STARTUP_POLL_S)
            continue
        await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
        by_itself = loading.done() and not server.should_exit
        server.end()
        await serving
        return _died(loading) if by_itself else 0
    await serving
    return 1


def _died(loading: asyncio.Task[None]) -> int:
    """The status of a process whose loader ended by itself: it is logged, and whoever watches starts it afresh."""
    error = None if loading.cancelled() else loading.exception()
    log.critical("the loader met a bug", exc_info=error, cancelled=loading.cancelled())
    return 1


if __name__ == "__main__":
    configure_logging()
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        sys.exit(runner.run(main(Settings())))
