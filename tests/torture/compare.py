"""Holds what the log says of every key against what really happened to it, in order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from tests.torture.log_reader import LoggedChange

Row = dict[str, Any]
AWAY = object()


@dataclass(frozen=True)
class Happened:
    """One change as the oracle saw it: create, update or delete of the row with `key`.

    `row` None for a delete; a value may be AWAY where the oracle itself wasn't told.
    """

    op: str
    key: int
    row: Row | None


def compare(happened: list[Happened], logged: list[LoggedChange]) -> None:
    """Fails where the log does not have a change, repeats one, changes a value or the order of a key."""
    theirs: dict[int, list[Happened]] = defaultdict(list)
    for change in happened:
        theirs[change.key].append(change)
    ours: dict[int, list[LoggedChange]] = defaultdict(list)
    for record in logged:
        ours[record.key["id"]].append(record)
    positions: set[str] = set()
    for key in theirs.keys() | ours.keys():
        _compare_key(key, theirs[key], ours[key], positions)


def _compare_key(
    key: int, happened: list[Happened], logged: list[LoggedChange], positions: set[str]
) -> None:
    assert len({record.partition for record in logged}) <= 1, f"key {key} is in two partitions"
    state: Row | None = None
    last = ""
    at = 0
    deleted = False
    for record in logged:
        where = f"key {key}, offset {record.offset}"
        change = record.change
        assert deleted == (change is None), f"{where}: a delete and its tombstone belong together"
        deleted = False
        if change is None:
            continue
        position = change["position"]
        assert position not in positions, f"{where}: position {position} is there twice"
        positions.add(position)
        assert record.headers["ce_id"].decode() == f"erp:{position}"
        if change["op"] == "read":
            read = change["after"]
            assert state is not None, f"{where}: read {read}, but there was no row"
            sent_columns = {name: value for name, value in state.items() if value is not AWAY}
            assert read | sent_columns == read, f"{where}: read {read}, but it was {state}"
            state = read
            continue
        assert at < len(happened), f"{where}: {change['op']} that never happened, or again"
        real = happened[at]
        at += 1
        assert change["op"] == real.op, f"{where}: {change['op']} instead of {real.op}"
        assert position > last, f"{where}: position {position} is behind {last}"
        last = position
        deleted = real.op == "delete"
        state = _row(where, real, change, state)
    assert at == len(happened), (
        f"key {key}: {len(happened) - at} changes are missing, the first is {happened[at]}"
    )


def _row(where: str, real: Happened, change: dict[str, Any], state: Row | None) -> Row | None:
    """The row after a change; what neither side was told is what it was before."""
    if real.row is None:
        assert change["after"] is None
        return None
    row: Row = {}
    for name, value in real.row.items():
        if value is AWAY:
            assert name in change["unavailable"], f"{where}: {name} should be unavailable"
            assert change["after"][name] is None
            row[name] = state[name] if state is not None else AWAY
        else:
            assert name not in change["unavailable"]
            assert change["after"][name] == value, (
                f"{where}: {name} is {change['after'][name]!r} instead of {value!r}"
            )
            row[name] = value
    return row
