"""How the groups of running processes get on, for `bridgectl status` in another process.

Topic `_{bridge}.status`, key `groups/` and the process, value a JSON object: `at` (microseconds), and
`groups`, a list of objects with the fields of `WorkProgress`; `waits`, one of `PartWait`; `gateways`, one of the sections of
`gateway_reports`. As the reports of captures it is nothing but a report; one that is older than half a minute is of a process that is
gone, and says nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from bridge.agent.group import agent_group
from bridge.capture.checkpoint.store import latest_values
from bridge.capture.report.status_record import topic as status_topic
from bridge.commands.group import executor_group
from bridge.log.group_progress import REPORT_AT_MOST_EVERY_S, REPORT_EVERY_S
from bridge.log.port import Entry, Log, TopicPartition
from bridge.model.error_text import error_message
from bridge.model.errors import BridgeError, RetryLater
from bridge.model.redacted_messages import redact_messages
from bridge.model.work_progress import CAPTURE_SILENT_AFTER_S, MICROSECONDS, WorkProgress
from bridge.observe import HandlerFailed, HandlerWaits, Notice, PartState, WorkReported
from bridge.wiring.gateway_reports import GatewayReport, GatewayReports, load_gateway_report
from bridge.wiring.part_waits import PartWait, PartWaits, dump_waits, load_wait

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
        #: Why the log took no report, as far as that was said.
        self._refusal = ""
        self._changed = asyncio.Event()
        self._waits = PartWaits(self._changed.set)
        #: What this process's gateways report beside it.
        self.gateways = GatewayReports()

    def __call__(self, notice: Notice) -> None:
        """Keep what says how a group gets on."""
        if isinstance(notice, WorkReported):
            self._work.update({work.name: work for work in notice.work if work.kind == "group"})
        elif isinstance(notice, HandlerWaits):
            self._waits(notice)
            reason = f"handler {notice.handler} waits: {notice.reason}" if notice.events else ""
            self._reasons[agent_group(self._bridge, notice.agent)] = reason
        elif isinstance(notice, HandlerFailed):
            self._reasons[agent_group(self._bridge, notice.agent)] = (
                f"handler {notice.handler} failed {notice.failures} times with event "
                f"{notice.event_id}: {notice.reason}"
            )
        elif isinstance(notice, PartState):
            self._waits(notice)
            if notice.kind not in _GROUP_OF:
                return
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
        """What is known is written every that many seconds until the end of the block."""
        writing = asyncio.create_task(self._write(stop, every_s), name="group reports")
        try:
            yield
        finally:
            await _ended(writing, TAKING_BACK_S if stop.is_set() else 0)

    async def _write(self, stop: asyncio.Event, every_s: float) -> None:
        wrote = False
        while True:
            # What comes and goes is written now and then.
            await _any_within(min(every_s, REPORT_AT_MOST_EVERY_S), stop)
            await _any_within(every_s, stop, self._changed)
            self._changed.clear()
            work, waits = self.work, self._waits.waits
            is_empty = not (work or waits or self.gateways)
            if wrote and (stop.is_set() or is_empty):
                # Nobody has to wait until it is too old to be believed.
                await self._append(None)
                wrote = False
            elif not is_empty:
                report = _dump(work, waits, self.gateways, time.time_ns() // 1000)
                wrote = await self._append(report)
            if stop.is_set():
                return

    async def _append(self, value: bytes | None) -> bool:
        topic = status_topic(self._bridge)
        try:
            await self._log.create_topics([topic])
            await self._log.append(topic.name, [Entry(self._key, value)])
        except BridgeError as error:
            # If the log is unavailable, reports can't be read there either; a missing permission
            # keeps `status` from knowing for good.
            text = error_message(error)
            is_known = isinstance(error, RetryLater) or text == self._refusal
            level = logging.DEBUG if is_known else logging.WARNING
            _log.log(
                level, "how groups get on is not reported, so that status can't tell: %s", text
            )
            self._refusal = self._refusal if is_known else text
            return False
        self._refusal = ""
        return True


async def _ended(task: asyncio.Task[None], within_s: float) -> None:
    """Cancel a task that doesn't end by itself within that time."""
    try:
        await asyncio.wait({task}, timeout=within_s)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _any_within(seconds: float, *events: asyncio.Event) -> None:
    """Wait until one of them is set, but no longer."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def _dump(
    work: list[WorkProgress], waits: list[PartWait], gateways: GatewayReports, now: int
) -> bytes:
    report = {
        "at": now,
        "groups": [asdict(each) for each in work],
        "waits": dump_waits(waits),
        "gateways": gateways.dump(),
    }
    return json.dumps(redact_messages(report), separators=(",", ":")).encode()


async def reported_groups(log: Log, bridge: str, now: int) -> dict[str, list[WorkProgress]]:
    """What running processes said of each group last; of several members each one's."""
    work_by_group: dict[str, list[WorkProgress]] = {}
    for report in await _reports(log, bridge, now):
        for each in report.groups:
            work_by_group.setdefault(each.name, []).append(each)
    return work_by_group


async def reported_waits(log: Log, bridge: str, now: int) -> list[PartWait]:
    """What parts of running processes said that they wait for, longest first."""
    waits = [wait for report in await _reports(log, bridge, now) for wait in report.waits]
    return sorted(waits, key=lambda wait: wait.since)


async def reported_gateways(log: Log, bridge: str, now: int) -> list[GatewayReport]:
    """What the gateways of running processes reported last, by system, section and process."""
    sections = [each for report in await _reports(log, bridge, now) for each in report.gateways]
    return sorted(sections, key=lambda each: (each.system, each.section, each.process))


class _Report(NamedTuple):
    groups: list[WorkProgress]
    waits: list[PartWait]
    gateways: list[GatewayReport]


async def _reports(log: Log, bridge: str, now: int) -> list[_Report]:
    """One per process. Records that are none are left out: others may have written them."""
    status_partition = TopicPartition(status_topic(bridge).name, 0)
    if status_partition.topic not in await log.topics():
        return []
    reports: list[_Report] = []
    for key, value in (await latest_values(log, status_partition, None)).items():
        if not key.startswith(KEY_PREFIX.encode()):
            continue
        try:
            reports.append(_load(key.removeprefix(KEY_PREFIX.encode()).decode(), value, now))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            _log.warning(
                "a record of %s is left out: %s", status_partition.topic, error_message(error, 200)
            )
    return reports


def _load(process: str, value: bytes, now: int) -> _Report:
    report = json.loads(value)
    at = int(report["at"])
    if abs(now - at) > CAPTURE_SILENT_AFTER_S * MICROSECONDS:
        return _Report([], [], [])
    # Reports of versions before had no waits, and no gateways.
    waits = [load_wait(each) for each in report.get("waits", [])]
    gateways = [load_gateway_report(each, process, at) for each in report.get("gateways", [])]
    return _Report([_group(each) for each in report["groups"]], waits, gateways)


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
