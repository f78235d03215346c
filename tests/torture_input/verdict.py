"""Holds the log against what was thrown at the bridge, without the bridge's own readers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.torture import log_reader
from tests.torture.crash_target import ObservedLog
from tests.torture_input.agent import answer_of
from tests.torture_input.feed import JUNK_MARK, Fed

RecordAddress = tuple[str, int, int]


@dataclass(slots=True)
class Outcomes:
    """What the log says: receipts by command, dead letters by the record or event that they are of."""

    receipts: set[str]
    letters: set[RecordAddress]
    events_with_letters: set[str]
    events_with_commands: set[str]
    row_letters: int
    row_events: int
    tasks: dict[int, str]
    """Event id by task."""
    junk: set[RecordAddress]
    """Foreign records that something has to be said of: those in topics which an agent or executor reads."""


def read(log: ObservedLog, bridge: str) -> Outcomes:
    """All of it, as it stands now."""
    schemas = log_reader.schemas_of(log.records(f"_{bridge}.schemas"))
    receipts, letters, of_events, commands = set(), set(), set(), set()
    row_letters = 0
    for _, _, _, value, headers in log.records(f"{bridge}.receipts"):
        if JUNK_MARK not in headers and value is not None:
            receipts.add(log_reader._avro(value, schemas)["command_id"])
    for _, _, _, value, headers in log.records(f"{bridge}.dead"):
        if JUNK_MARK in headers or value is None:
            continue
        letter = log_reader._avro(value, schemas)
        if letter["topic"] is not None:
            letters.add((letter["topic"], letter["partition"], letter["offset"]))
        if letter["kind"] == "event" and letter["event_id"]:
            of_events.add(letter["event_id"])
        row_letters += letter["kind"] in {"row", "record"} and letter["source"] == "erp.orders"
    junk: set[RecordAddress] = set()
    for partition, offset, _, value, headers in log.records(f"{bridge}.commands"):
        if JUNK_MARK in headers:
            junk.add((f"{bridge}.commands", partition, offset))
        elif value is not None:
            commands.add(log_reader._avro(value, schemas)["caused_by"])
    tasks = {}
    row_events = 0
    for entity in ("task", "orders"):
        topic = f"{bridge}.erp.{entity}"
        for partition, offset, key, value, headers in log.records(topic):
            if JUNK_MARK in headers:
                # Without a value it is a tombstone, which is no event.
                if value is not None:
                    junk.add((topic, partition, offset))
                continue
            if value is None or headers["ce_type"].endswith(b".read"):
                continue
            if entity == "task":
                tasks[log_reader._avro(key or b"", schemas)["id"]] = headers["ce_id"].decode()
            else:
                row_events += 1
    return Outcomes(receipts, letters, of_events, commands, row_letters, row_events, tasks, junk)


def missing(outcomes: Outcomes, fed: Fed, effects: int) -> dict[str, Any]:
    """What the log says nothing of; empty when all of it is accounted for.

    `effects`: changes of rows that commands made, which come on top of those that were fed.
    """
    silent = {
        number: seed
        for number, seed in fed.tasks.items()
        if (event := outcomes.tasks.get(number)) is None
        or not (
            event in outcomes.events_with_commands
            or event in outcomes.events_with_letters
            or _is_nothing(seed)
        )
    }
    gaps = {
        "tasks": silent,
        "commands": sorted(fed.commands - outcomes.receipts),
        "records": sorted(outcomes.junk - outcomes.letters),
    }
    rows = fed.row_changes + effects - outcomes.row_events - outcomes.row_letters
    return {name: gap for name, gap in [*gaps.items(), ("rows", rows)] if gap}


def _is_nothing(seed: int) -> bool:
    """Whether the agent answers this with no command at all, so that nothing has to be written."""
    answer = answer_of(seed)
    return answer is None or answer in ([], {}, set())


def as_text(gaps: dict[str, Any]) -> str:
    """For people, short."""
    return json.dumps({name: str(gap)[:2000] for name, gap in gaps.items()}, indent=2)
