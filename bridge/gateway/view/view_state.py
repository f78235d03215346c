"""What the file of a view says about itself: one JSON text, written with the rows. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from zlib import crc32

from bridge.log.port import Record, TopicPartition
from bridge.model.freshness import NO_POSITION

CLOCK_MARGIN_MS = 3_600_000
"""By which the log's clock may differ from this machine's when the age of a file is judged."""


class DamagedFile(Exception):
    """What the file holds isn't what was written."""


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last record of a partition that was applied, to tell a log from another one."""

    offset: int
    timestamp: int
    key_crc: int


def last_record(record: Record) -> LastRecord:
    """What is remembered of a record."""
    return LastRecord(record.offset, record.timestamp, crc32(record.key or b""))


@dataclass(frozen=True, slots=True)
class UnresolvedLetter:
    """A dead letter whose key (None: entity) is in doubt. `key`: hexadecimal."""

    entity: str
    key: str | None
    position: str


@dataclass(frozen=True, slots=True)
class ViewState:
    """State of the file as of a commit.

    binding: see `table_forms.binding`.
    boot: of the machine when it was written; empty: not known.
    complete: the rows are all there; False: it was being built.
    epoch, position: everything up to it is in.
    written_at: milliseconds since 1970.
    offsets: the next record of each partition.
    last: the one before, where records were read.
    letters: dead letters that aren't resolved.
    """

    binding: Mapping[str, Any]
    boot: str = ""
    complete: bool = False
    epoch: int = 0
    position: str = NO_POSITION
    written_at: int = 0
    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    last: Mapping[TopicPartition, LastRecord] = field(default_factory=dict)
    letters: tuple[UnresolvedLetter, ...] = ()


def dump_state(state: ViewState) -> tuple[str, int]:
    """The text of a state and its checksum."""
    text = json.dumps(
        {
            "binding": state.binding,
            "boot": state.boot,
            "complete": state.complete,
            "epoch": state.epoch,
            "position": state.position,
            "written_at": state.written_at,
            "offsets": [[*each, offset] for each, offset in state.offsets.items()],
            "last": [[*each, *asdict(last).values()] for each, last in state.last.items()],
            "letters": [list(asdict(letter).values()) for letter in state.letters],
        },
        separators=(",", ":"),
    )
    return text, crc32(text.encode())


def load_state(text: object, crc: object) -> ViewState:
    """The state of a text. Raises DamagedFile."""
    if not isinstance(text, str) or crc32(text.encode("utf-8", "replace")) != crc:
        raise DamagedFile("its description of itself is damaged")
    try:
        parts = json.loads(text)
        return ViewState(
            binding=parts["binding"],
            boot=parts["boot"],
            complete=parts["complete"],
            epoch=parts["epoch"],
            position=parts["position"],
            written_at=parts["written_at"],
            offsets={TopicPartition(topic, n): offset for topic, n, offset in parts["offsets"]},
            last={
                TopicPartition(each[0], each[1]): LastRecord(*each[2:]) for each in parts["last"]
            },
            letters=tuple(UnresolvedLetter(*each) for each in parts["letters"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DamagedFile("its description of itself is of another version") from error


def why_rebuilt(
    state: ViewState, wanted: Mapping[str, Any], now_ms: int, history_ms: int | None
) -> str:
    """Why a file in this state can't be continued; empty: it can.

    wanted: the binding that it should have.
    history_ms: how long the change topics keep deleted keys; None: not at all.
    """
    if state.binding.get("version") != wanted["version"]:
        return "another version of the bridge wrote it"
    for part, what in (("bridge", "bridge"), ("log", "log")):
        if state.binding.get(part) != wanted[part]:
            return f"it is of the {what} {state.binding.get(part)}"
    if state.binding != wanted:
        return "its entities, their keys or their relations have changed"
    if not state.complete:
        return "it was not complete"
    age = now_ms - state.written_at
    if age < -CLOCK_MARGIN_MS:
        return "it was written later than now by the clock"
    if age >= (history_ms or 0) - CLOCK_MARGIN_MS and age >= (history_ms or 0) / 2:
        return "it is older than the deletes that the log still has"
    return ""
