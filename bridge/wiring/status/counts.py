"""Counts of `status`: dead letters by source, and commands that failed, are unknown or wait.

The time is bounded whatever the size of the topics: if they are large, only the newest records are
counted, and the counts say so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.codes import HELD_BACK
from bridge.log.port import TopicPartition
from bridge.model.command import CommandRecord
from bridge.model.handed_back import HandedBack, letter_subject
from bridge.model.names import AUDIT, COMMANDS, DEAD, RECEIPTS, system_topic
from bridge.model.receipt import Receipt, State
from bridge.model.redaction import redact
from bridge.model.system_records import RELEASED, DeadLetter

if TYPE_CHECKING:
    from bridge.commands.history import CommandHistory
    from bridge.wiring import Bridge
    from bridge.wiring.decoding import DecodedRecord

MAX_RECORDS: Final = 10_000
"""Maximum records read from the topics."""
READ_TIMEOUT_S: Final = 10.0
"""If reading takes longer, nothing is counted: a partial read would show ended commands as waiting,
and letters that were handed back.
"""
ENDED: Final = frozenset({State.SUCCEEDED, State.REJECTED, State.EXPIRED, State.CANCELLED})
MAX_SOURCES: Final = 50
OTHERS: Final = "(others)"
"""Replaces all sources except the 50 with the most letters: other programs may write letters,
too.
"""
UNDECLARED: Final = "(not declared)"
"""Replaces all commands that this configuration doesn't declare."""


@dataclass(frozen=True, slots=True)
class BoundedCounts:
    """Rows of counts. `since`: only records from then on were counted; None: all. `timed_out`:
    nothing was counted.
    """

    rows: tuple[dict[str, Any], ...]
    since: datetime | None = None
    timed_out: bool = False

    def json_rows(self, kind: str) -> list[dict[str, Any]]:
        """For programs: each row says whether its counts are exact or lower bounds."""
        bound = {"complete": self.since is None, "counted_since": self.since}
        if self.timed_out:
            return [{"kind": kind, "complete": False, "error": TIMED_OUT}]
        return [{"kind": kind, **row, **bound} for row in self.rows]


TIMED_OUT: Final = f"not counted: reading took longer than {READ_TIMEOUT_S:g} s"


async def _recent_records(
    bridge: Bridge, names: Sequence[str], now_ms: int, max_records: int
) -> tuple[list[DecodedRecord], datetime | None]:
    """The recent records of these fixed topics, without their large parts, and the time from which
    on they are complete (None: from the beginning). Raises TimeoutError.
    """
    from bridge.log.follow_topics import partitions_of, read_by_time
    from bridge.log.recent_offsets import recent_starts
    from bridge.wiring.decoding import Decoding

    log = bridge.log
    async with asyncio.timeout(READ_TIMEOUT_S):
        topic_infos = await log.topics()
        topics = [system_topic(bridge.name, name) for name in names]
        places = await partitions_of(log, [topic for topic in topics if topic in topic_infos])
        recent = await recent_starts(log, places, max_records, now_ms)
        decoding = Decoding(bridge)
        decoded: list[DecodedRecord] = []
        async with contextlib.aclosing(read_by_time(log, recent.starts)) as batches:
            async for batch in batches:
                decoded += [_slim(await decoding.decode(record)) for record in batch]
    since = None if recent.since is None else datetime.fromtimestamp(recent.since / 1000, UTC)
    return decoded, since


def _slim(decoded: DecodedRecord) -> DecodedRecord:
    """Without large parts, because thousands of them are kept."""
    record, fixed = decoded.record, decoded.fixed
    if isinstance(fixed, CommandRecord):
        fixed = replace(fixed, args="")
    elif isinstance(fixed, DeadLetter):
        fixed = replace(fixed, reason="", raw=None, key=None, value=None, traceback=None)
    elif isinstance(fixed, Receipt):
        fixed = replace(fixed, result=None)
    return replace(decoded, record=record._replace(key=None, value=None, headers=()), fixed=fixed)


async def dead_letter_counts(
    bridge: Bridge, now_ms: int, max_records: int = MAX_RECORDS
) -> BoundedCounts:
    """How many letters were not handed back: a row for all of them, then one for each source and
    kind.
    """
    try:
        records, since = await _recent_records(bridge, [DEAD], now_ms, max_records)
    except TimeoutError:
        return BoundedCounts((), timed_out=True)
    letters: list[tuple[str, str, Any]] = []
    handed_back = HandedBack()
    for record in records:
        letter = record.fixed
        if not isinstance(letter, DeadLetter):
            continue
        subject = letter_subject(letter, record.record.partition, record.record.offset)
        handed_back.note(letter, subject)
        if letter.error != RELEASED:
            letters.append((letter.source, letter.kind, subject))
    counts = Counter(
        (source, kind) for source, kind, subject in letters if subject not in handed_back
    )
    topic = system_topic(bridge.name, DEAD)
    most = dict(counts.most_common(MAX_SOURCES))
    rows: list[dict[str, Any]] = [
        {"topic": topic, "source": source, "letter_kind": kind, "dead_letters": count}
        for (source, kind), count in sorted(most.items())
    ]
    if others := counts.total() - sum(most.values()):
        rows.append({"topic": topic, "source": OTHERS, "letter_kind": None, "dead_letters": others})
    total = {"topic": topic, "source": None, "letter_kind": None, "dead_letters": counts.total()}
    return BoundedCounts((total, *rows), since)


async def command_counts(
    bridge: Bridge, now_ms: int, max_records: int = MAX_RECORDS
) -> BoundedCounts:
    """A row for each declared command, and one for all others where there are some."""
    from bridge.commands.history import command_histories

    try:
        names = [COMMANDS, AUDIT, RECEIPTS]
        records, since = await _recent_records(bridge, names, now_ms, max_records)
    except TimeoutError:
        return BoundedCounts((), timed_out=True)
    by_name: dict[str, list[CommandHistory]] = {name: [] for name in sorted(bridge.declared)}
    answered = set() if since is None else await _answered_before(bridge, records)
    for history in command_histories(
        each.fixed for each in records if each.fixed is not None
    ).values():
        if history.id in answered and not history.steps and history.receipt is None:
            continue
        name = history.name if history.name in by_name else UNDECLARED
        by_name.setdefault(name, []).append(history)
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    rows = ({"command": name, **_counts(histories, now)} for name, histories in by_name.items())
    return BoundedCounts(tuple(rows), since)


async def _answered_before(bridge: Bridge, records: Iterable[DecodedRecord]) -> set[str]:
    """Ids of commands whose executor is past their newest record. If nothing else of such a command
    was read, it was sent again, and its first receipt is older than the records read: it isn't
    waiting.
    """
    from bridge.commands.group import executor_group

    groups = await bridge.log.groups()
    ids: set[str] = set()
    for each in records:
        if not isinstance(each.fixed, CommandRecord):
            continue
        executor = groups.get(executor_group(bridge.name, each.fixed.name.partition(".")[0]))
        topic_partition = TopicPartition(each.record.topic, each.record.partition)
        if executor is not None and each.record.offset < executor.committed.get(topic_partition, 0):
            ids.add(each.fixed.id)
        else:
            ids.discard(each.fixed.id)
    return ids


def _counts(histories: Iterable[CommandHistory], now: datetime) -> dict[str, Any]:
    """How many failed, are unknown and wait, and how long the oldest has waited. Pure."""
    states: Counter[str] = Counter()
    oldest: datetime | None = None
    held_since: datetime | None = None
    held_reason: str | None = None
    for history in histories:
        if history.state in ENDED:
            continue
        receipt = history.receipt
        if receipt is not None and receipt.code == HELD_BACK:
            at = receipt.finished_at
            held_since = at if held_since is None else min(held_since, at)
            held_reason = redact(receipt.message or "")
        state = history.state if history.state in {State.FAILED, State.UNKNOWN} else "waiting"
        states[state] += 1
        if state == "waiting" and history.at is not None:
            oldest = history.at if oldest is None else min(oldest, history.at)
    waits = _seconds_since(oldest, now)
    return {
        "failed": states[State.FAILED],
        "unknown": states[State.UNKNOWN],
        "waiting": states["waiting"],
        "oldest_waiting_seconds": waits,
        "held_back_seconds": _seconds_since(held_since, now),
        "held_back_reason": held_reason,
    }


def _seconds_since(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else max(0.0, (now - at).total_seconds())


def waits_for_a_person(commands: BoundedCounts, longer_than_s: float) -> bool:
    """Whether commands of a declaration have been held back for longer, for a permission or a
    table.
    """
    held = [row["held_back_seconds"] for row in commands.rows]
    return any(seconds is not None and seconds > longer_than_s for seconds in held)
