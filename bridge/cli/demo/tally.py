"""The numbers on the screen, counted from the core's notices and from the log itself."""

from __future__ import annotations

import statistics
from collections import Counter, deque
from dataclasses import dataclass, field

from bridge.log.port import Record, TopicPartition
from bridge.model import headers
from bridge.model.receipt import Outcome, Receipt
from bridge.observe import Captured, Handled, Notice, RowsRead, SourceState


@dataclass(slots=True)
class DemoTally:
    """Running totals. `observe` takes notices of this process, `record` the log's records."""

    changes: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    behind: deque[float] = field(default_factory=lambda: deque(maxlen=500))
    source: str = "starting"
    handled: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    queries: int = 0
    sent: set[str] = field(default_factory=set)
    receipts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    caused: Counter[str] = field(default_factory=Counter)
    last: dict[TopicPartition, int] = field(default_factory=dict)
    executor: str = "running"
    in_between: tuple[str, ...] = ()

    def observe(self, notice: Notice) -> None:
        """Count a notice."""
        match notice:
            case Captured():
                self.changes += notice.changes
                self.entities.update(notice.entities)
                if notice.behind is not None:
                    self.behind.append(notice.behind)
            case SourceState():
                self.source = notice.state
            case Handled():
                self.handled[notice.outcome] += 1
            case RowsRead():
                self.reads += notice.reads
                self.queries += notice.queries
            case _:
                pass

    def outcome(self, receipt: Receipt) -> None:
        """Count a command's result: its code if it failed, else its outcome."""
        self.receipts[receipt.command_id] += 1
        failed = receipt.outcome is Outcome.FAILED
        self.outcomes[receipt.code or "failed" if failed else receipt.outcome.value] += 1

    def change(self, record: Record) -> None:
        """Update the log's position, and count changes caused by commands (without tombstones)."""
        self.last[TopicPartition(record.topic, record.partition)] = record.offset + 1
        cause = dict(record.headers).get(headers.CAUSATION)
        if cause is not None and record.value is not None:
            self.caused[cause.decode()] += 1

    @property
    def lag(self) -> tuple[float, float]:
        """Milliseconds from legacy commit to the log: recent median and 95th percentile."""
        if len(self.behind) < 2:
            return 0.0, 0.0
        cuts = statistics.quantiles(self.behind, n=20)
        return cuts[9] * 1000, cuts[18] * 1000

    @property
    def open_commands(self) -> int:
        """Commands without a receipt."""
        return len(self.sent) - sum(1 for command in self.sent if self.receipts[command])
