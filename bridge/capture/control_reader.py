"""Follows the control topic alongside the stream, and applies its requests between reads."""

from __future__ import annotations

from dataclasses import replace

from bridge.capture import control
from bridge.capture.barriers.writer import BarrierWriter
from bridge.capture.contract import CaptureDependencies
from bridge.capture.control import ControlRequest
from bridge.capture.report.stats import CaptureStats
from bridge.capture.state import CaptureState
from bridge.observe import SourceState


class ControlReader:
    """The requests of one session: `listen` runs as a task of its own, `apply_to` in another."""

    def __init__(
        self, deps: CaptureDependencies, stats: CaptureStats, barriers: BarrierWriter
    ) -> None:
        self._deps = deps
        self._stats = stats
        self._barriers = barriers
        self._next_offset = 0
        self._unapplied: list[tuple[int, ControlRequest | None]] = []

    async def listen(self, offset: int) -> None:
        """Read the control topic from `offset` on, until it is cancelled."""
        deps = self._deps
        partition = control.partition(deps.bridge)
        begin = await control.first_unread(deps.log, deps.bridge, offset)
        reader = await deps.log.reader({partition: begin})
        try:
            while True:
                for record in await reader.read(100, 60.0):
                    self._take(record.offset, record.value)
        finally:
            await reader.close()

    def _take(self, offset: int, value: bytes | None) -> None:
        """Keep the request in a record until `apply_to`. Barriers are asked for at once, and cause no
        checkpoint: one that is read again after a restart is answered by another barrier.
        """
        self._next_offset = offset + 1
        request: ControlRequest | None = None
        try:
            request = control.load(value)
        except ValueError as error:
            self._stats.reason = control.left_out_text(offset, error)
        own = request is not None and request.system == self._deps.system.name
        if request is None or request.action != "barrier":
            self._unapplied.append((offset, request if own else None))
        elif own:
            self._barriers.ask(request.id)

    def apply_to(self, state: CaptureState) -> None:
        """Apply what was requested meanwhile."""
        deps = self._deps
        snapshot = deps.connector.capabilities().snapshot
        for offset, request in self._unapplied:
            progress = replace(state.progress, control=offset + 1)
            if request is not None:
                if request.action == "accept_loss":
                    reason = control.nothing_lost(deps.system.name)
                    deps.observer(SourceState(deps.system.name, self._stats.state, reason))
                can_snapshot = dict.fromkeys(state.entities, snapshot)
                progress = control.apply(progress, request, can_snapshot, deps.clock())
            state.become(progress)
        self._unapplied.clear()
        if self._next_offset > state.progress.control:
            state.progress = replace(state.progress, control=self._next_offset)
