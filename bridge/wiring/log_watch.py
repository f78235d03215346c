"""Whether the log of a running process still holds what it held: looked at repeatedly, because
a part that only reads would wait for ever for records of a topic that was deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from bridge.config import Config
from bridge.log.port import Log
from bridge.model.error_text import describe_error, error_message
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.names import SYSTEM_TOPICS, change_topic, system_topic
from bridge.observe import Observer, PartState
from bridge.wiring.missing_topics import missing_topics

LOOK_EVERY_S: Final = 30.0
LOOK_WHILE_AWAY_S: Final = 5.0


class LogWatch:
    """Notices topics of this bridge that were deleted, a file of the log that was, and a log that is
    away.
    """

    def __init__(self, log: Log, config: Config, observer: Observer) -> None:
        self._log = log
        self._config = config
        self._observer = observer
        self._seen: set[str] = set()
        self._reported = ""

    @asynccontextmanager
    async def watching(
        self, stop: asyncio.Event, every_s: float = LOOK_EVERY_S
    ) -> AsyncIterator[None]:
        """Look every that many seconds until the end of the block."""
        looking = asyncio.create_task(self._watch(stop, every_s), name="log watch")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _watch(self, stop: asyncio.Event, every_s: float) -> None:
        while not stop.is_set():
            pause_s = every_s
            try:
                self._report(await self.look())
            except RetryLater as error:
                # Parts that only read wait for it without a word.
                self._report(f"the log is away: {error_message(error)}", again=True)
                pause_s = min(every_s, LOOK_WHILE_AWAY_S)
            except Exception as error:  # noqa: BLE001 - whoever no longer looks must say so
                self._report(f"whether topics were deleted can't be seen: {describe_error(error)}")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stop.wait()

    async def look(self) -> str:
        """What is missing now; empty: nothing. Raises RetryLater while the log is unavailable."""
        try:
            existing = await self._log.topics()
            missing = await missing_topics(self._log, self._config, existing.keys())
        except ConfigurationError as error:
            return error_message(error)
        ours = _read_by_others(self._config) & existing.keys()
        texts = {each.topic: f"{each.text}: {each.hint}" for each in missing}
        for topic in sorted(self._seen - ours - texts.keys()):
            texts[topic] = f"topic {topic} was deleted: what it held is lost"
        self._seen |= ours
        return "; ".join(text for _, text in sorted(texts.items()))

    def _report(self, reason: str, *, again: bool = False) -> None:
        if again or reason != self._reported:
            self._reported = reason
            state = "retrying" if reason else "running"
            self._observer(PartState("bridge", self._config.bridge, state, reason))


def _read_by_others(config: Config) -> set[str]:
    """The topics of this bridge that must not be deleted while it runs."""
    changes = {
        change_topic(config.bridge, entity.system, entity.name)
        for system in config.systems
        for entity in system.spec.entities
    }
    return changes | {system_topic(config.bridge, name) for name in SYSTEM_TOPICS}
