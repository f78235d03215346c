"""Reads the selected events again and hands them to a sink."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from bridge.log.port import Log, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.ports.event_decoder import EventDecoder
from bridge.replay.contract import SelectedRecord, Sink
from bridge.replay.select import Selection, incomplete_reason, row_of

#: With a rate, so many times per second events are handed over.
SLICES_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far a replay is. `of` counts offsets, so it is an upper bound of `scanned`.

    `incomplete` says in a sentence why events may be missing; empty when none are. `unreadable`
    counts records that are no changes.
    """

    scanned: int = 0
    of: int = 0
    picked: int = 0
    unreadable: int = 0
    by_op: Mapping[str, int] = field(default_factory=dict)
    incomplete: str = ""
    done: bool = False


ReportProgress = Callable[[ReplayProgress], None]


async def replay(
    log: Log,
    events: EventDecoder,
    selection: Selection,
    sink: Sink,
    *,
    now: Callable[[], int],
    rate: float = 0.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    report: ReportProgress = lambda _: None,
) -> ReplayProgress:
    """Hand every selected event, up to what is in the log now, to `sink`, in order per partition.

    `rate`: at most so many events a second (0: as fast as can be). A sink that was given an
    earlier run's offsets resumes there. Raises ConfigurationError for an unknown topic or a field
    of the condition that no event has, RetryLater when the log stops answering before the end.
    """
    info = (await log.topics()).get(selection.topic)
    if info is None:
        raise ConfigurationError(f"there is no topic {selection.topic!r} in {log.name}")
    places = [TopicPartition(selection.topic, number) for number in range(info.partitions)]
    ends = await log.end_offsets(places)
    try:
        resumed = await sink.open(selection)
        selection = resumed.selection
        begin = {**await _begin(log, selection, places), **resumed.offsets}
        ahead = {
            partition: begin[partition]
            for partition in places
            if begin[partition] < ends[partition]
        }
        progress = ReplayProgress(of=sum(ends[partition] - begin[partition] for partition in ahead))
        first: dict[TopicPartition, Record] = {}
        fields: set[str] = set()
        async for records in _batches(log, ahead, ends):
            for record in records:
                first.setdefault(TopicPartition(record.topic, record.partition), record)
            picked, unreadable = await _pick(records, events, selection, sink.tombstones, fields)
            progress = replace(progress, unreadable=progress.unreadable + unreadable)
            for turn in _turns(records, picked, rate):
                upto = {TopicPartition(r.topic, r.partition): r.offset + 1 for r in turn.records}
                await sink.take(turn.picked, upto)
                progress = _further(progress, turn)
                report(progress)
                if rate > 0 and turn.picked:
                    await sleep(len(turn.picked) / rate)
        _check_fields(selection, fields)
        earliest = selection.since
        if earliest is None and all(r.offset == begin[partition] for partition, r in first.items()):
            # Nothing was before these, so nothing older can be missing.
            earliest = min((record.timestamp for record in first.values()), default=now())
        await sink.finish()
        missing = incomplete_reason(info.spec, earliest, now())
        progress = replace(progress, incomplete=missing, done=True)
        report(progress)
        return progress
    finally:
        await sink.close()


def _check_fields(selection: Selection, fields: set[str]) -> None:
    """Raise ConfigurationError for a field of the condition that no event has. Pure."""
    if fields and (unknown := selection.where.keys() - fields):
        raise ConfigurationError(
            f"no event of {selection.topic} has a field "
            f"{', '.join(map(repr, sorted(unknown)))}; they have {', '.join(sorted(fields))}"
        )


async def _begin(
    log: Log, selection: Selection, places: list[TopicPartition]
) -> Mapping[TopicPartition, int]:
    first = await log.beginning_offsets(places)
    if selection.since is not None:
        first = await log.offsets_at(places, selection.since)
    if selection.offset is None:
        return dict(first)
    return {partition: max(first[partition], selection.offset) for partition in places}


async def _batches(
    log: Log, ahead: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> AsyncIterator[list[Record]]:
    # What came in since the start is not of this replay.
    try:
        async with aclosing(read_to_end(log, ahead, ends)) as batches:
            async for records in batches:
                yield records
    except RetryLater as error:
        raise RetryLater(
            f"{error}; start the replay again: it continues where it stopped"
        ) from error


class ReplaySlice(NamedTuple):
    """What is handed over at once: records, and what of them is selected."""

    records: Sequence[Record]
    picked: Sequence[SelectedRecord]


def _turns(
    records: Sequence[Record], picked: Sequence[SelectedRecord], rate: float
) -> Iterator[ReplaySlice]:
    """The records in as many turns as the rate asks for; one without a rate. Pure."""
    size = max(1, int(rate / SLICES_PER_SECOND)) if rate > 0 else len(picked)
    if len(picked) <= size:
        yield ReplaySlice(records, picked)
        return
    places = {id(record): number for number, record in enumerate(records)}
    begin = 0
    for number in range(0, len(picked), size):
        turn = picked[number : number + size]
        last = number + size >= len(picked)
        end = len(records) if last else places[id(turn[-1].record)] + 1
        yield ReplaySlice(records[begin:end], turn)
        begin = end


async def _pick(
    records: list[Record],
    events: EventDecoder,
    selection: Selection,
    tombstones: bool,
    fields: set[str],
) -> tuple[list[SelectedRecord], int]:
    """What is selected, and how many can't be read. Where there is a condition, the events' fields
    are added to `fields`.
    """
    picked: list[SelectedRecord] = []
    unreadable = 0
    for record in records:
        if not selection.in_time(record):
            continue
        if record.value is None:
            if tombstones and not selection.by_content and not selection.keys:
                picked.append(SelectedRecord(record, None))
            continue
        try:
            event = await events.decode(record)
            fits = event is not None and selection.fits(event)
        except BridgeError:
            raise
        except Exception:  # noqa: BLE001 - what its row holds can't be read, whatever it is
            unreadable += 1
            continue
        if event is None:
            continue
        if selection.where and (row := row_of(event)) is not None:
            fields.update(row.keys())
        if fits:
            picked.append(SelectedRecord(record, event))
    return picked, unreadable


def _further(progress: ReplayProgress, turn: ReplaySlice) -> ReplayProgress:
    ops = Counter(progress.by_op)
    ops.update(selected.event.op for selected in turn.picked if selected.event is not None)
    return replace(
        progress,
        scanned=progress.scanned + len(turn.records),
        picked=progress.picked + len(turn.picked),
        by_op=dict(ops),
    )
