"""What the parts of an open embedded log share: threads, clock, wakeup and catalogue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from bridge.closing import close_all, close_in_thread
from bridge.log.embedded.threads import ReaderThread, WriterThread
from bridge.log.embedded.topic_table import StoredTopic, TopicTable, load, unknown
from bridge.log.embedded.wakeup import Wakeup


class EmbeddedStore:
    """The open file. `clock` returns milliseconds since 1970."""

    def __init__(
        self, path: Path, clock: Callable[[], int], max_record_bytes: int, patience: float
    ) -> None:
        self.path = path
        self.clock = clock
        self.max_record_bytes = max_record_bytes
        self.bell = Wakeup(path)
        self.reader = ReaderThread(path, patience)
        self.writer = WriterThread(path, patience, self.bell.ring_from_thread)
        self.catalogue: TopicTable = {}
        self.leaving: set[Callable[[], Awaitable[None]]] = set()
        """What the remaining group members have to do when the log is closed."""

    def start(self) -> None:
        """Start the threads."""
        self.reader.start()
        self.writer.start()

    async def stop(self) -> None:
        """Finish queued work, then close the file."""
        self.writer.refuse()
        self.reader.refuse()
        self.bell.close()
        await close_all(
            lambda: close_in_thread(self.writer.join), lambda: close_in_thread(self.reader.join)
        )

    async def refresh(self) -> None:
        """Load the topics that other processes created."""
        self.catalogue = await self.reader.run(load)

    async def topic(self, name: str) -> StoredTopic:
        """Raises ConfigurationError if there is none of that name."""
        stored = self.catalogue.get(name)
        if stored is None:
            await self.refresh()
            stored = self.catalogue.get(name)
            if stored is None:
                raise unknown(name)
        return stored

    async def know(self, topics: set[str]) -> None:
        """Load these topics into the catalogue. Raises ConfigurationError for the first unknown
        one.
        """
        for name in sorted(topics):
            await self.topic(name)
