"""Hands parked events back to their agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bridge.log.port import Entry, Log, TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.log.topic_specs import replay_topic_spec
from bridge.model.errors import Rejected
from bridge.model.headers import ID, REPLAY
from bridge.model.names import replay_topic
from bridge.model.system_records import RELEASED, DeadLetter

#: What isn't handed back, and what to do instead.
RECOVERY_OPTIONS: Final = {
    "row": "a row of {source} is captured again once it is fixed in the legacy system",
    "record": "a row of {source} that was too large is captured again once it is smaller",
    "command": "a command that could not be read has to be sent again",
}


def refuse_others(letters: Sequence[DeadLetter]) -> None:
    """Raise Rejected (`not_parked`) where one of them is no parked event, and say what it is."""
    for letter in letters:
        if letter.kind == "event" and letter.error != RELEASED:
            continue
        what = RECOVERY_OPTIONS.get(letter.kind, "{source} handed an event back already")
        instruction = what.format(source=letter.source)
        raise Rejected("not_parked", f"only parked events are handed back: {instruction}")


async def hand_back(
    log: Log, codec: SystemTopicCodec, bridge: str, letters: Sequence[DeadLetter], at: datetime
) -> int:
    """Give parked events to their agents again, in the order given, and release their keys.

    All or nothing, in one log transaction; how many. Raises Rejected for what is no parked event,
    or is no longer in the log.
    """
    refuse_others(letters)
    copies = [(letter, await _copy(log, letter)) for letter in letters]
    agents = {letter.source: replay_topic(bridge, letter.source) for letter in letters}
    await log.create_topics(replay_topic_spec(bridge, agent) for agent in agents)
    producer = await log.producer(f"{bridge}.dead.hand_back")
    try:
        async with producer.transaction() as transaction:
            for letter, copy in copies:
                await transaction.append(agents[letter.source], [copy])
                released = replace(
                    letter,
                    error=RELEASED,
                    reason="an operator handed the event back to the agent",
                    at=at,
                    value=None,
                )
                entry = codec.entry("dead", letter.source, released)
                await transaction.append(codec.topic("dead"), [entry])
    finally:
        await producer.close()
    return len(copies)


async def _copy(log: Log, letter: DeadLetter) -> Entry:
    location = f"{letter.topic}:{letter.partition}:{letter.offset}"
    headers = [(REPLAY, location.encode())]
    if letter.event_id:
        headers.append((ID, letter.event_id.encode()))
    value = letter.value if letter.value is not None else await _read(log, letter, location)
    return Entry(letter.key, value, headers)


async def _read(log: Log, letter: DeadLetter, location: str) -> bytes:
    """The event's bytes from its topic, for one that was too big for the dead letters."""
    if letter.topic is not None and letter.partition is not None and letter.offset is not None:
        where = TopicPartition(letter.topic, letter.partition)
        reader = await log.reader({where: letter.offset})
        try:
            for record in await reader.read(1, 1.0):
                if record.offset == letter.offset and record.value is not None:
                    return record.value
        finally:
            await reader.close()
    raise Rejected("gone", f"the event of {location} is no longer in the log")
