"""The loop in a process that can be killed: `python -m …delivery.killable DATABASE_URL WEBHOOK_URL`."""

import asyncio
import sys
from datetime import timedelta

from tests.integration.analytics.delivery.rig import rig_over


async def main(database_url: str, webhook_url: str) -> None:
    """Run until it is killed."""
    async with rig_over(database_url) as rig:
        rig.lease = timedelta(seconds=2)
        rig.webhook("program", webhook_url)
        async with rig.running():
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
