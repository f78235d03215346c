"""Rows of consumer groups with their states, and what to do about those that nobody reads with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.wiring.group_state import NOT_READING, RETIRED


def without_lag(rows: list[dict[str, Any]], states: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows of groups with their states, and no lag where a group reads no more. Pure."""
    return [
        {**row, "state": states[row["group"]]}
        | ({"lag": None, "missing": None} if states[row["group"]] in NOT_READING else {})
        for row in rows
    ]


def retired_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to do about groups that nobody reads with any more, one a group. Pure."""
    names = dict.fromkeys(row["group"] for row in rows if row["state"] == RETIRED)
    return [
        f"{name} is of nothing in this configuration: `bridgectl log offsets delete {name}` deletes it"
        for name in names
    ]
