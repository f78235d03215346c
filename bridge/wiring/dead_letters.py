"""Reads dead letters: all of them, those that were handed back, and the one that a person names."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

from bridge.log.dead_letter_id import DeadLetterId
from bridge.log.port import Record
from bridge.log.start_offsets import BEGINNING, LogStart
from bridge.model import handed_back
from bridge.model.handed_back import HandedBack, LetterSubject
from bridge.model.names import DEAD
from bridge.model.system_records import RELEASED, DeadLetter
from bridge.wiring.bridge import Bridge
from bridge.wiring.decoding import DecodedRecord, system_topic_history


async def dead_letters(
    bridge: Bridge, start: LogStart, skipped: Callable[[Record, str], Any] | None = None
) -> AsyncGenerator[DecodedRecord]:
    """Each dead letter in turn, releases included; never all of them, which may be more than the
    memory holds.

    skipped: called with each record that can't be read, and why
    """
    async with aclosing(system_topic_history(bridge, [DEAD], start)) as records:
        async for letter in records:
            if letter.fixed is not None:
                yield letter
            elif skipped is not None:
                skipped(letter.record, letter.unreadable)


async def released_since(bridge: Bridge, start: LogStart) -> HandedBack:
    """Which of the dead letters from `start` on were handed back after they were parked."""
    letters = HandedBack()
    async with aclosing(dead_letters(bridge, start)) as records:
        async for record in records:
            _note(record, letters)
    return letters


def released(records: Iterable[DecodedRecord]) -> HandedBack:
    """The same of the dead letters among these records. Pure."""
    letters = HandedBack()
    for record in records:
        _note(record, letters)
    return letters


def _note(record: DecodedRecord, letters: HandedBack) -> None:
    if isinstance(record.fixed, DeadLetter):
        letters.note(record.fixed, letter_subject(record))


def letter_subject(record: DecodedRecord) -> LetterSubject:
    """What the dead letter in a record is about. Pure."""
    letter = record.fixed
    assert isinstance(letter, DeadLetter), "only these are read"  # noqa: S101
    return handed_back.letter_subject(letter, record.record.partition, record.record.offset)


async def find_letters(bridge: Bridge, wanted: DeadLetterId) -> list[DecodedRecord]:
    """The letters that a person may mean, none or several: by number those of any partition that it
    leaves open; by what they are about the newest of each agent's handler.
    """
    matches: dict[tuple[str, str | None], list[DecodedRecord]] = {}
    start = BEGINNING if wanted.offset is None else LogStart("offset", wanted.offset)
    async with aclosing(dead_letters(bridge, start)) as letters:
        async for each in letters:
            letter = each.fixed
            if (
                isinstance(letter, DeadLetter)
                and wanted.is_of(each.record, letter)
                # A release is found by its number only.
                and (wanted.offset is not None or letter.error != RELEASED)
            ):
                matches.setdefault((letter.source, letter.handler), []).append(each)
                if wanted.partition is not None:
                    break
    if wanted.offset is None:
        # An event that was parked more than once: what became of it last.
        return [letters[-1] for letters in matches.values()]
    return [each for letters in matches.values() for each in letters]
