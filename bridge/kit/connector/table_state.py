"""The log's content after a history, and what a history must never contain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.connector import CREATE, DELETE, READ
from bridge.kit.connector.records import HistoryStep, Record


class TableState:
    """Rows by key, as the history so far leaves them.

    `known` are keys whose presence or absence the history itself decides; for others a snapshot
    may still bring their rows.
    """

    def __init__(self, *, whole: bool) -> None:
        self.rows: dict[tuple[Any, ...], Record] = {}
        self._whole = whole
        self._read: set[tuple[Any, ...]] = set()

    def take(self, history: Iterable[HistoryStep]) -> None:
        """Add to the history. Fails on a repeat, a gap or a wrong old row."""
        for step in history:
            self._take(step)

    def _take(self, step: HistoryStep) -> None:
        row = self.rows.get(step.key)
        if step.op == READ:
            assert step.key not in self._read, f"a snapshot brought {step.key} twice"
            assert row is None or row == step.after, (
                f"the snapshot says {step.after} of {step.key} where the stream said {row}"
            )
            self._read.add(step.key)
        elif step.op == CREATE:
            assert row is None, f"{step.key} was created when it was there: {row}"
        elif row is not None and step.before is not None:
            assert row == step.before, f"before {step.key} changed it was {row}, not {step.before}"
        elif self._whole:
            assert row is not None, f"{step.key} changed or went, and was never there: {step}"
        if step.op == DELETE:
            self.rows.pop(step.key, None)
            self._read.discard(step.key)
        else:
            assert step.after is not None
            self.rows[step.key] = step.after
