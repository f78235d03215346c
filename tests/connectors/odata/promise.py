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

from tests.torture import found as reading
from tests.torture.found import Found

Row = dict[str, Any]
States = Sequence[Row | None]


class LogFile:
    """The embedded log of a bridge `acme` that captures the entity `suite` of the system `erp`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def told(self) -> dict[str, list[Found]]:
        """Every record of the entity, by key, in order."""
        schemas = reading.schemas_of(reading.embedded(self._path, "_acme.schemas"))
        records = reading.embedded(self._path, "acme.erp.suite")
        by_key: dict[str, list[Found]] = defaultdict(list)
        for record in reading.decoded(records, schemas):
            by_key[record.key["order_no"]].append(record)
        return by_key

    def rows(self) -> dict[str, Row]:
        """The last state of each key that is there."""
        last = {key: records[-1].change for key, records in self.told().items()}
        return {key: change["after"] for key, change in last.items() if change and change["after"]}

    def progress(self) -> dict[str, Any]:
        """The newest checkpoint record; empty where there is none."""
        try:
            records = reading.embedded(self._path, "_acme.positions")
        except sqlite3.OperationalError:
            return {}  # it is being made
        told: dict[str, Any] = json.loads(records[-1][3] or b"{}") if records else {}
        return told

    def status(self) -> dict[str, Any]:
        """The newest report of capture."""
        records = reading.embedded(self._path, "_acme.status")
        return {} if not records else json.loads(records[-1][3] or b"{}")


def check(told: Mapping[str, list[Found]], truth: Mapping[str, States]) -> None:
    """For each key: each state was true, in their order, and the last one is the last; positions
    grow; a delete has its tombstone; after a delete comes a create (or a read), and no row is
    created twice unless it went in between. A snapshot may have read it before it is told.
    """
    assert set(told) <= set(truth), f"keys that never were: {set(told) - set(truth)}"
    positions = [one.change["position"] for key in told for one in told[key] if one.change]
    assert len(set(positions)) == len(positions), "a position is there twice"
    for key, states in truth.items():
        _check_key(key, told.get(key, []), states)


def _check_key(key: str, told: list[Found], states: States) -> None:
    assert len({one.partition for one in told}) <= 1, f"{key} is in two partitions"
    at, last = -1, ""
    gone, met, deleted = True, False, False
    for one in told:
        place = f"{key}, offset {one.offset}"
        assert deleted == (one.change is None), f"{place}: a delete and its tombstone are one"
        deleted = False
        if one.change is None:
            continue
        op, row = one.change["op"], one.change["after"]
        assert one.change["position"] > last, f"{place}: positions go back"
        assert one.change["before"] is None
        last = one.change["position"]
        follows = _next(place, row, states, at)
        if op == "create":
            between = None in states[at + 1 : follows]
            assert not met or between, f"{place}: created, and it was there: {_words(told)}"
        elif op == "update":
            assert not gone or at < 0, f"{place}: updated, and it was gone: {_words(told)}"
        at, gone, deleted = follows, row is None, op == "delete"
        met = not gone and (met or op != "read")
        assert deleted == gone, f"{place}: {op} of {row}"
    final = states[-1] if states else None
    ended = None if at < 0 or gone else states[at]
    assert ended == final, f"{key} ended as {final}, and {ended} was told last: {_words(told)}"


def _next(place: str, row: Row | None, states: States, at: int) -> int:
    """Which state it is: the one told before or a later one."""
    for index in range(max(at, 0), len(states)):
        if states[index] == row:
            return index
    known = [index for index, state in enumerate(states) if state == row]
    raise AssertionError(
        f"{place}: {row} was true as state {known} of {len(states)}, and state {at} was told before"
    )


def _words(told: list[Found]) -> str:
    return " ".join(one.change["op"] if one.change else "-" for one in told)
