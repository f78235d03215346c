"""Holds what the log says of every key against what the key ever was: the weaker promise, exactly.

Reads the log's file without any code of the bridge.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.torture import log_reader as reading
from tests.torture.log_reader import LoggedChange

Row = dict[str, Any]
States = Sequence[Row | None]


class LogFile:
    """The embedded log of a bridge `acme` that captures the entity `suite` of the system `erp`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def records_by_key(self) -> dict[str, list[LoggedChange]]:
        """Every record of the entity, by key, in order."""
        schemas = reading.schemas_of(reading.embedded(self._path, "_acme.schemas"))
        records = reading.embedded(self._path, "acme.erp.suite")
        by_key: dict[str, list[LoggedChange]] = defaultdict(list)
        for record in reading.decoded(records, schemas):
            by_key[record.key["order_no"]].append(record)
        return by_key

    def rows(self) -> dict[str, Row]:
        """The last state of each key that is there."""
        last = {key: records[-1].change for key, records in self.records_by_key().items()}
        return {key: change["after"] for key, change in last.items() if change and change["after"]}

    def progress(self) -> dict[str, Any]:
        """The newest checkpoint record; empty where there is none."""
        try:
            records = reading.embedded(self._path, "_acme.positions")
        except sqlite3.OperationalError:
            return {}  # it is being made
        checkpoint: dict[str, Any] = json.loads(records[-1][3] or b"{}") if records else {}
        return checkpoint

    def status(self) -> dict[str, Any]:
        """The newest report of capture."""
        records = reading.embedded(self._path, "_acme.status")
        return {} if not records else json.loads(records[-1][3] or b"{}")


def check(records_by_key: Mapping[str, list[LoggedChange]], truth: Mapping[str, States]) -> None:
    """For each key: each state was true, in their order, and the last one is the last; positions
    grow; a delete has its tombstone; after a delete comes a create (or a read), and no row is
    created twice unless it went in between. A snapshot may have read it before it is told.
    """
    assert set(records_by_key) <= set(truth), (
        f"keys that never were: {set(records_by_key) - set(truth)}"
    )
    positions = [
        record.change["position"]
        for key in records_by_key
        for record in records_by_key[key]
        if record.change
    ]
    assert len(set(positions)) == len(positions), "a position is there twice"
    for key, states in truth.items():
        _check_key(key, records_by_key.get(key, []), states)


def _check_key(key: str, records: list[LoggedChange], states: States) -> None:
    assert len({record.partition for record in records}) <= 1, f"{key} is in two partitions"
    at, last = -1, ""
    gone, met, deleted = True, False, False
    for record in records:
        where = f"{key}, offset {record.offset}"
        assert deleted == (record.change is None), f"{where}: a delete and its tombstone are one"
        deleted = False
        if record.change is None:
            continue
        op, row = record.change["op"], record.change["after"]
        assert record.change["position"] > last, f"{where}: positions go back"
        assert record.change["before"] is None
        last = record.change["position"]
        follows = _next(where, row, states, at)
        if op == "create":
            between = None in states[at + 1 : follows]
            assert not met or between, f"{where}: created, and it was there: {_words(records)}"
        elif op == "update":
            assert not gone or at < 0, f"{where}: updated, and it was gone: {_words(records)}"
        at, gone, deleted = follows, row is None, op == "delete"
        met = not gone and (met or op != "read")
        assert deleted == gone, f"{where}: {op} of {row}"
    final = states[-1] if states else None
    ended = None if at < 0 or gone else states[at]
    assert ended == final, f"{key} ended as {final}, and {ended} was told last: {_words(records)}"


def _next(where: str, row: Row | None, states: States, at: int) -> int:
    """Which state it is: the one told before or a later one."""
    for index in range(max(at, 0), len(states)):
        if states[index] == row:
            return index
    matching = [index for index, state in enumerate(states) if state == row]
    raise AssertionError(
        f"{where}: {row} was true as state {matching} of {len(states)}, and state {at} was told before"
    )


def _words(records: list[LoggedChange]) -> str:
    return " ".join(record.change["op"] if record.change else "-" for record in records)
