"""`python -m deploy.local.provider --host 127.0.0.1 --port 8100`: serve until SIGTERM or SIGINT.

Port 0 picks a free one. The first line of the output is JSON: `{"event":"listening","url":…}`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

import orjson
import uvloop

from deploy.local.provider.app import Simulator
from deploy.local.provider.http11 import Connection


async def serve(host: str, port: int) -> None:
    """Serve on `host`:`port` until a signal ends it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    simulator = Simulator()
    connections: set[Connection] = set()
    server = await loop.create_server(lambda: Connection(simulator, connections), host, port, backlog=1024)
    bound = server.sockets[0].getsockname()
    line = orjson.dumps({"event": "listening", "url": f"http://{bound[0]}:{bound[1]}"})
    print(line.decode(), flush=True)  # the contract with who started it
    await stop.wait()
    server.close()
    for connection in list(connections):
        connection.close()
    await server.wait_closed()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.provider", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
