"""Which entities a view holds, and why not the others. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

BYTES_PER_RECORD: Final = 250
"""Of the file, for a record of a change topic: a row of 120 bytes with its key, an index and free space.
A topic holds at least one record per row.
"""


class OfferedEntity(NamedTuple):
    """name: bare. view: as configured. records: that its topic holds, at most."""

    name: str
    view: Literal["auto", "yes", "no"]
    records: int


class ViewChoice(NamedTuple):
    """held: bare names. left_out: bare name -> the reason, for people."""

    held: tuple[str, ...]
    left_out: Mapping[str, str]


def choose_entities(
    entities: Sequence[OfferedEntity], view_bytes: int, *, is_captured: bool, every_change: bool
) -> ViewChoice:
    """The entities of a system that its view holds: those that are asked for, then the others by their
    size, smallest first, as long as they fit.

    view_bytes: of the file at most.
    is_captured, every_change: whether the connector captures, and emits every change.
    """
    left_out: dict[str, str] = {}
    held: list[str] = []
    rest = view_bytes
    for name, view, records in sorted(
        entities, key=lambda each: (each.view != "yes", each.records)
    ):
        size = records * BYTES_PER_RECORD
        if view == "no":
            left_out[name] = "it has `view: no`"
        elif not is_captured:
            left_out[name] = "its connector doesn't capture"
        elif not every_change:
            left_out[name] = "its connector doesn't emit every change and delete as it happens"
        elif size > rest and view == "auto":
            left_out[name] = (
                f"its topic has {records} records, about {_megabytes(size)}, and "
                f"{_megabytes(rest)} of the system's `view_bytes` are left"
            )
        else:
            held.append(name)
            rest = max(0, rest - size)
    return ViewChoice(tuple(sorted(held)), left_out)


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:.0f} MB"
