"""What to do about consumer groups that nobody reads with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.wiring.group_state import RETIRED


def retired_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What to do about groups that are no longer used, one line per group. Pure."""
    names = dict.fromkeys(row["group"] for row in rows if row["state"] == RETIRED)
    return [
        f"{name} belongs to nothing in this configuration: `bridgectl log offsets delete {name}` "
        "deletes it"
        for name in names
    ]
