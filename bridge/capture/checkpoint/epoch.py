"""The current epoch of a source's history, for code that writes positions of it."""

from __future__ import annotations

from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.codec import load
from bridge.log.port import Consumer, Log, TopicPartition
from bridge.log.read_to_end import read_until


class Epoch:
    """Follows the checkpoint records of one source. Used by one task."""

    def __init__(self, log: Log, bridge: str, source: str) -> None:
        self._log = log
        self._source = source
        self._partition = TopicPartition(store.topic(bridge).name, 0)
        self._epoch: int | None = None
        self._reader: Consumer | None = None

    async def now(self) -> int | None:
        """The current epoch according to the log; None for a source that was never captured. Raises
        RetryLater while the log is unavailable.
        """
        try:
            if self._reader is None:
                self._reader = await self._begun()
            if self._reader is not None:
                await self._catch_up(self._reader)
        except BaseException:
            await self.close()
            raise
        return self._epoch

    async def _begun(self) -> Consumer | None:
        """A reader positioned after the newest record; None if nothing was ever captured."""
        if self._partition.topic not in await self._log.topics():
            return None
        end = (await self._log.end_offsets([self._partition]))[self._partition]
        key = self._source.encode()
        self._take((await store.latest_values(self._log, self._partition, key)).get(key))
        return await self._log.reader({self._partition: end})

    async def _catch_up(self, reader: Consumer) -> None:
        ends = await self._log.end_offsets([self._partition])
        async for records in read_until(self._log, reader, ends):
            for record in records:
                if record.key == self._source.encode():
                    self._take(record.value)

    def _take(self, value: bytes | None) -> None:
        if value is not None:
            self._epoch = load(value, self._source).epoch

    async def close(self) -> None:
        """Close the reader; `now` opens it again."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
