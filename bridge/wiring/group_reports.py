"""How the groups of running processes get on, for `bridgectl status` in another process.

Topic `_{bridge}.status`, key `groups/` and the process, value a JSON object: `at` (microseconds), and
`groups`, a list of objects with the fields of `WorkProgress`. As the reports of captures it is nothing
but a report; one that is older than half a minute is of a process that is gone, and says nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict
from typing import Any, Final

from bridge.agent.run import agent_group
from bridge.capture.health import topic as status_topic
from bridge.capture.positions import newest
from bridge.commands.run import executor_group
from bridge.log.group_progress import REPORT_EVERY_S
from bridge.log.port import Entry, Log, TopicPartition
from bridge.model.error_text import error_message
from bridge.model.errors import BridgeError
from bridge.model.work_progress import CAPTURE_SILENT_AFTER_S, MICROSECONDS, WorkProgress
from bridge.observe import Notice, PartState, WorkReported

KEY_PREFIX: Final = "groups/"
TAKING_BACK_S: Final = 0.5
"""An orderly end waits no longer for its last word to be written."""
_GROUP_OF: Final[Mapping[str, Callable[[str, str], str]]] = {
    "agent": agent_group,
    "commands": executor_group,
}
_log = logging.getLogger(__name__)


class GroupReports:
    """An observer that keeps what each group of this process reported last; `written` has it
    written into the log.
    """

    def __init__(self, log: Log, bridge: str, instance: str) -> None:
        self._log = log
        self._bridge = bridge
        self._key = f"{KEY_PREFIX}{instance}".encode()
        self._work: dict[str, WorkProgress] = {}
        self._reasons: dict[str, str] = {}

    def __call__(self, notice: Notice) -> None:
        """Keep what says how a group gets on."""
        if isinstance(notice, WorkReported):
            self._work.update({work.name: work for work in notice.work if work.kind == "group"})
        elif isinstance(notice, PartState) and notice.kind in _GROUP_OF:
            group = _GROUP_OF[notice.kind](self._bridge, notice.name)
            self._reasons[group] = "" if notice.state == "running" else notice.reason

    @contextmanager
    def of(self, group: str) -> Iterator[None]:
        """A member of this group runs in the block; afterwards nothing is known of it."""
        try:
            yield
        finally:
            self._work.pop(group, None)
            self._reasons.pop(group, None)

    @property
    def work(self) -> list[WorkProgress]:
        """The newest of each group, with what its part said that it waits for."""
        return [
            WorkProgress(
                work.kind,
                work.name,
                work.progressed_at,
                work.owed_since,
                work.reason or self._reasons.get(work.name, ""),
                work.lasting,
            )
            for work in self._work.values()
        ]

    @asynccontextmanager
    async def written(
        self, stop: asyncio.Event, every_s: float = REPORT_EVERY_S
    ) -> AsyncIterator[None]:
        """What is known is written every so many seconds until the end of the block."""
        writing = asyncio.create_task(self._write(stop, every_s), name="group reports")
        try:
            yield
        finally:
            if stop.is_set():
                await asyncio.wait({writing}, timeout=TAKING_BACK_S)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, stop: asyncio.Event, every_s: float) -> None:
        wrote = False
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await stop.wait()
            work = self.work
            if wrote and (stop.is_set() or not work):
                # Nobody has to wait until it is too old to be believed.
                await self._append(None)
                wrote = False
            elif work:
                wrote = await self._append(_dump(work, time.time_ns() // 1000))
            if stop.is_set():
                return

    async def _append(self, value: bytes | None) -> bool:
        topic = status_topic(self._bridge)
        try:
            await self._log.create_topics([topic])
            await self._log.append(topic.name, [Entry(self._key, value)])
        except BridgeError as error:
            # The log is away: nobody can read reports there either.
            _log.debug("how groups get on is not reported: %s", error_message(error))
            return False
        return True


def _dump(work: list[WorkProgress], now: int) -> bytes:
    groups = [asdict(each) for each in work]
    return json.dumps({"at": now, "groups": groups}, separators=(",", ":")).encode()


async def reported_groups(log: Log, bridge: str, now: int) -> dict[str, list[WorkProgress]]:
    """What running processes said of each group last; of several members each one's. Records that
    are none are left out: others may have written them.
    """
    place = TopicPartition(status_topic(bridge).name, 0)
    if place.topic not in await log.topics():
        return {}
    found: dict[str, list[WorkProgress]] = {}
    for key, value in (await newest(log, place, None)).items():
        if not key.startswith(KEY_PREFIX.encode()):
            continue
        try:
            work = _load(value, now)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            _log.warning("a record of %s is left out: %s", place.topic, error_message(error, 200))
            continue
        for each in work:
            found.setdefault(each.name, []).append(each)
    return found


def _load(value: bytes, now: int) -> list[WorkProgress]:
    report = json.loads(value)
    if abs(now - int(report["at"])) > CAPTURE_SILENT_AFTER_S * MICROSECONDS:
        return []
    return [_group(each) for each in report["groups"]]


def _group(each: Mapping[str, Any]) -> WorkProgress:
    owed_since = each["owed_since"]
    return WorkProgress(
        "group",
        str(each["name"]),
        int(each["progressed_at"]),
        None if owed_since is None else int(owed_since),
        str(each["reason"]),
        bool(each["lasting"]),
    )
