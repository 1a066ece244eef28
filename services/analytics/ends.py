"""Where Kafka's logs end, whether or not a session reads them."""

import asyncio
from collections.abc import Callable

from services.analytics.batch import Partition
from services.analytics.loader import LoaderState
from services.analytics.reader import KafkaAwayError, Reader

START_TIMEOUT_S = 5.0


class Ends:
    """Asks the session's reader; while there is none, one of its own, which reads nothing."""

    def __init__(self, state: LoaderState, new_reader: Callable[[], Reader]) -> None:
        self._state = state
        self._new_reader = new_reader
        self._own: Reader | None = None
        self._one_at_a_time = asyncio.Lock()

    async def ask(self) -> dict[Partition, int]:
        """The offset behind the last record of every partition. Raises TransientError."""
        async with self._one_at_a_time:
            if (reader := self._state.reader) is not None:
                await self._close()
                return await reader.ends()
            try:
                return await (self._own or await self._start()).ends()
            except BaseException:
                await self._close()
                raise

    async def close(self) -> None:
        """Disconnect."""
        async with self._one_at_a_time:
            await self._close()

    async def _start(self) -> Reader:
        self._own = self._new_reader()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._own.start()
        except TimeoutError as error:
            raise KafkaAwayError("Kafka did not answer") from error
        return self._own

    async def _close(self) -> None:
        reader, self._own = self._own, None
        if reader is not None:
            await reader.stop()
