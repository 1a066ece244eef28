"""How a process ends."""

import signal


def end_without_signal() -> None:
    """Make a clean stop exit with 0: uvicorn raises the signal that stopped it once more, when it has put back our handler."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
