"""Keeps one source captured: fences other instances, opens sessions, survives failures."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from bridge.capture import control
from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.record import ACCEPTED_PREFIX, CheckpointRecord, SnapshotJob, enqueue
from bridge.capture.checkpoint.successor import successor
from bridge.capture.contract import CaptureDependencies
from bridge.capture.deleted_topics import pause_lost
from bridge.capture.preparation import Preparation, capture_topics
from bridge.capture.report import status_record
from bridge.capture.report.stats import CaptureStats
from bridge.capture.session import CaptureSession
from bridge.log.port import Entry, Producer
from bridge.model.errors import (
    BridgeError,
    Fenced,
    HistoryLost,
    OutcomeUnknown,
    RetryLater,
)
from bridge.observe import SourceState, WorkReported
from bridge.retry import RetryPolicy, retry

#: A topic's name is `_{bridge}.`... ; a transactional id names its only owner.
TRANSACTIONAL_ID = "{bridge}.capture.{system}"
#: Seconds that an orderly shutdown waits for its last report to be written.
LAST_REPORT_TIMEOUT_S = 1.0


class Capture:
    """Captures one source for as long as `run` runs. `instance` names this one among others.

    Transient failures are retried without end, with backoff and jitter. `run` ends by Fenced
    (another instance took over and wrote its name to the log), by HistoryLost or ConfigurationError
    (the message says what to do), or by cancellation, after which nothing is left open. Whatever
    happens, the log holds each change once.
    """

    def __init__(self, deps: CaptureDependencies, instance: str) -> None:
        self._deps = deps
        self._instance = instance
        self._source = deps.system.name
        self._producer: Producer | None = None
        self._sessions = 0
        self._was_owner = False
        self._preparation = Preparation(deps)
        self._stats = CaptureStats(self._source, instance, deps.clock())

    @property
    def stats(self) -> CaptureStats:
        """The running counters and state."""
        return self._stats

    async def run(self) -> None:
        """Capture until an error or cancellation; see the class for which."""
        limits = self._deps.limits
        policy = RetryPolicy(limits.backoff, limits.longest_backoff, may_pass=_may_pass)
        try:
            while True:
                await retry(
                    self._attempt,
                    policy,
                    report=lambda _, reason: self._report_state("retrying", reason),
                    sleep=self._report_and_sleep,
                )
        except Exception as error:
            self._report_state("stopped", str(error) or repr(error))
            await self._report()
            raise
        except asyncio.CancelledError:
            self._report_state("stopped")
            await self._leave()
            raise
        finally:
            await self._close_producer()

    async def _report_and_sleep(self, seconds: float) -> None:
        await self._report()
        await asyncio.sleep(seconds)

    async def _attempt(self) -> None:
        """Run one session. Returns instead of raising if it wrote changes or lasted long before it
        failed, so that the next one starts soon.
        """
        if self._stats.state == "retrying":
            # Its state stays what it waits for until this try has ended, which may take long.
            self._deps.observer(SourceState(self._source, "starting"))
        else:
            self._report_state("starting")
        existing = await self._preparation.existing_topics()
        await self._preparation.prepare()
        producer = await self._open_producer()
        progress = await self._progress()
        at = self._deps.clock()
        progress = pause_lost(progress, self._source, self._preparation.change_topics, existing, at)
        session = self._session(producer, progress)
        monotonic, limits = self._deps.monotonic, self._deps.limits
        begun = monotonic()
        try:
            await session.run()
        except HistoryLost as lost:
            accepted = await self._accepted_loss(session.progress)
            if accepted is None:
                raise HistoryLost(self._recovery_text(str(lost))) from lost
            session = self._session(producer, accepted)
            await session.run()
        except Fenced as error:
            await self._close_producer()
            self._report_state("retrying", f"{error}: looking for its name")
            await self._report()
            taken_by = await successor(self._deps, self._instance)
            if taken_by:
                raise Fenced(
                    f"capture of {self._source!r}: instance {taken_by} took over from this one "
                    f"({self._instance})"
                ) from error
        except (RetryLater, OutcomeUnknown) as error:
            soon = session.wrote_changes or monotonic() - begun >= limits.longest_backoff
            if not soon or (isinstance(error, RetryLater) and error.after):
                raise
            self._report_state("retrying", str(error))
        finally:
            if session.broken:
                await self._close_producer()

    def _session(self, producer: Producer, progress: CheckpointRecord) -> CaptureSession:
        self._sessions += 1
        name = f"{self._instance}.{self._sessions}"
        return CaptureSession(
            name,
            self._deps,
            producer,
            progress,
            self._preparation.entities,
            self._stats,
            self._report_state,
            unprepared=self._preparation.unprepared,
            topics=[spec.name for spec in capture_topics(self._deps)],
        )

    # -- beginning ---------------------------------------------------------------------------

    async def _open_producer(self) -> Producer:
        """Fence all other instances, unless one of them has fenced us."""
        if self._producer is None:
            crash_point, deps = self._deps.crash_point, self._deps
            if self._was_owner:
                latest = await store.progress_of(deps.log, deps.bridge, self._source)
                if latest is not None and latest.owner != self._instance:
                    raise Fenced(
                        f"capture of {self._source!r}: instance {latest.owner} took over while this "
                        f"one ({self._instance}) was cut off from {deps.log.name}"
                    )
            crash_point("producer.before")
            owner = TRANSACTIONAL_ID.format(bridge=deps.bridge, system=self._source)
            self._producer = await deps.log.producer(owner)
            self._was_owner = True
            crash_point("producer.after")
        return self._producer

    async def _progress(self) -> CheckpointRecord:
        """The checkpoint record, read after fencing: no other instance can write it any more."""
        deps = self._deps
        recorded = await store.progress_of(deps.log, deps.bridge, self._source)
        if recorded is not None:
            self._stats.resumed(recorded.at, deps.clock())
        return replace(recorded or CheckpointRecord(), owner=self._instance)

    async def _accepted_loss(self, progress: CheckpointRecord) -> CheckpointRecord | None:
        """The state to resume from, if a person accepted the loss of the history in between."""
        deps = self._deps
        requests, left_out = await control.since(deps.log, deps.bridge, progress.control)
        for why in left_out:
            self._report_state("starting", why)
        for offset, request in requests:
            if request.system == self._source and request.action == "accept_loss":
                restarted = replace(
                    progress,
                    epoch=progress.epoch + 1,
                    checkpoint=None,
                    control=offset + 1,
                    paused={},
                )
                for name in self._preparation.entities:
                    job = SnapshotJob(
                        f"{ACCEPTED_PREFIX}{request.id}-{name}",
                        name,
                        reconcile=True,
                        max_deletes=request.max_deletes,
                    )
                    restarted = enqueue(restarted, job)
                return restarted
        return None

    # -- ending ------------------------------------------------------------------------------

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()

    def _report_state(self, state: str, reason: str = "") -> None:
        self._stats.state, self._stats.reason = state, reason
        self._stats.reported_at = 0
        self._deps.observer(SourceState(self._source, state, reason))

    def _recovery_text(self, lost: str) -> str:
        """A source's message about lost history, with the recovery option that all sources have.
        Most name it.
        """
        accept = f"`bridgectl snapshot {self._source} --accept-loss`"
        if accept in lost:
            return f"{lost}. Then start `bridgectl run` again"
        return (
            f"{lost}. To accept the loss of the changes in between, run {accept} and start again: "
            "everything is read again, and deletes that were missed are written"
        )

    async def _leave(self) -> None:
        """Report an orderly shutdown. Otherwise the status would show it as running for half a
        minute, and its counters as of the previous report for ever. An unavailable log doesn't
        delay shutdown, and after a takeover the other instance reports.
        """
        if self._producer is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_REPORT_TIMEOUT_S):
                await self._report()

    async def _report(self) -> None:
        """Write a separate status record, because no transaction will carry one."""
        deps = self._deps
        now = deps.clock()
        status = self._stats.last(now)
        deps.observer(WorkReported(tuple(status.work(self._preparation.entities))))
        try:
            await deps.log.append(
                status_record.topic(deps.bridge).name,
                [Entry(self._source.encode(), status_record.dump(status))],
            )
        except BridgeError as error:
            # The log itself is unavailable: then its status can't be read there either, and the age
            # of the last report shows it. The observer has it already.
            self._stats.reason = f"{self._stats.reason} (not reported: {error})"


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, (RetryLater, OutcomeUnknown))
