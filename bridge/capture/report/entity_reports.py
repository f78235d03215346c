"""Reports of a source's entities to the observer, once for each change of their state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.capture.contract import CaptureDependencies
from bridge.capture.entity import CapturedEntity
from bridge.capture.report.stats import CaptureStats
from bridge.observe import CaptureRemark, EntityPaused, EntityState, SourceState

if TYPE_CHECKING:
    from bridge.capture.state import CaptureState


@dataclass(slots=True)
class EntityReports:
    """Compares the new state with that in `stats`, and reports the difference. Used by one task.

    `unprepared`: entities that could not be prepared when the session began, and why.
    """

    deps: CaptureDependencies
    stats: CaptureStats
    entities: Mapping[str, CapturedEntity]
    unprepared: Mapping[str, str] = field(default_factory=dict)

    def report_paused(self, progress: CheckpointRecord) -> None:
        """Report those paused in an earlier run: this run's observer has had no report yet."""
        for name, pause in progress.paused.items():
            if name not in self.stats.paused:
                self.deps.observer(EntityPaused(self._qualified(name), pause.reason))
        self.stats.paused = frozenset(progress.paused)

    def report_resumed(self, progress: CheckpointRecord) -> None:
        """Report entities that are no longer paused."""
        for name in sorted(self.stats.paused.difference(progress.paused)):
            self.deps.observer(EntityState(self._qualified(name), "captured"))
        self.stats.paused = frozenset(progress.paused)

    def report_unavailable(self, tables: Mapping[str, str], state: CaptureState) -> None:
        """Report entities that can't be captured now, and those that can be again."""
        if not (tables or self.unprepared or state.unfit or self.stats.troubles):
            return
        by_source = self._by_entity(tables, state)
        # The source itself reports the end of what it has reported.
        self.unprepared = {
            name: reason
            for name, reason in self.unprepared.items()
            if name not in by_source and self.entities[name].type is None
        }
        reasons = {**self.unprepared, **state.unfit, **by_source}
        before = self.stats.troubles
        self.stats.become_troubled(reasons, self.deps.clock())
        if reasons == before:
            return
        for name in {**before, **reasons}:
            if reasons.get(name) != before.get(name):
                what = "unavailable" if name in reasons else "captured"
                qualified = self.entities[name].spec.qualified
                self.deps.observer(EntityState(qualified, what, reasons.get(name, "")))
        self.stats.reported_at = 0
        state.changed = True

    def report_remarks(self, tables: Mapping[str, str], state: CaptureState) -> None:
        """Report entities that are captured in a worse way than possible."""
        if not (tables or self.stats.remarks):
            return
        remarks = self._by_entity(tables, state)
        before, self.stats.remarks = self.stats.remarks, remarks
        if before.keys() == remarks.keys():
            return  # only its wording differs, such as a number
        for name in before.keys() ^ remarks.keys():
            qualified = self.entities[name].spec.qualified
            reason = remarks.get(name) or "it is captured in the best way again"
            self.deps.observer(CaptureRemark(qualified, reason))
        self.stats.reported_at = 0
        state.changed = True

    def report_waiting(self, reasons: Mapping[str, str]) -> None:
        """Report that changes are streamed while snapshots wait for something."""
        reported = self.stats.waiting.values()
        for reason in dict.fromkeys(reasons.values()):
            if reason not in reported:
                text = f"snapshots wait: {reason}"
                self.deps.observer(SourceState(self.deps.system.name, self.stats.state, text))
        self.stats.waiting = reasons

    def _by_entity(self, tables: Mapping[str, str], state: CaptureState) -> dict[str, str]:
        return {
            entity.spec.name: reason
            for table, reason in tables.items()
            for entity in state.by_table.get(table, ())
        }

    def _qualified(self, name: str) -> str:
        return f"{self.deps.system.name}.{name}"
