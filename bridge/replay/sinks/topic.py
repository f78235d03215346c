"""A topic of replayed events: of an agent, or of anybody who reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bridge.log.port import Entry, Headers, Log, Producer, Record, TopicPartition, TopicSpec
from bridge.log.topic_specs import internal_topic_spec
from bridge.model.canonical import canonical_json
from bridge.model.errors import BridgeError, Rejected
from bridge.model.headers import REPLAY
from bridge.model.names import (
    REPLAYS,
    SYSTEM_TOPICS,
    change_topic,
    internal_topic,
    replay_topic,
    split_entity,
    system_topic,
)
from bridge.replay.contract import ResumePoint, SelectedRecord
from bridge.replay.notes import FINISHED, notes_partition, replay_group, replay_notes
from bridge.replay.select import Selection


class TopicSink:
    """Copies into a topic, marked with where they are from. `name` names the replay: one of the
    same name resumes where an earlier one stopped, and its copies are never written twice.

    What was selected is noted under the name in `_{bridge}.replays`, with the first copies, and in
    the end that it is finished. `resumable`: its offsets are kept then, so that one of the same name
    continues with what came since; otherwise its group is deleted, and its name is used up.
    """

    def __init__(
        self,
        log: Log,
        bridge: str,
        name: str,
        topic: str,
        *,
        tombstones: bool = True,
        resumable: bool = True,
    ) -> None:
        self._log = log
        self._bridge = bridge
        self._name = name
        self._group = replay_group(bridge, name)
        self._notes = notes_partition(bridge)
        self._note = b""
        self._fingerprint: Mapping[str, Any] = {}
        self._resumable = resumable
        self._upto: dict[TopicPartition, int] = {}
        self._topic = topic
        self.tombstones = tombstones
        self._producer: Producer | None = None

    async def open(self, selection: Selection) -> ResumePoint:
        """What the earlier run committed. Raises Rejected if it was of another selection, or has
        finished and its offsets are gone.
        """
        notes = internal_topic_spec(self._bridge, REPLAYS)
        await self._log.create_topics([TopicSpec(self._topic), notes])
        # First the producer, which ends an earlier run's transaction, then the offsets.
        self._producer = await self._log.producer(self._group)
        group = (await self._log.groups()).get(self._group)
        offsets = {} if group is None else dict(group.committed)
        noted = (await replay_notes(self._log, self._notes)).get(self._name)
        if noted is not None and not offsets and noted.get(FINISHED):
            raise Rejected(
                "replay_finished",
                f"replay {self._name} has finished, and its offsets are gone: running it again "
                "would replay everything once more; use another name",
            )
        if noted is not None and offsets:
            selection = selection.continuing(noted, f"replay {self._name}")
        self._fingerprint = selection.fingerprint()
        if noted is None or not offsets or noted.get(FINISHED):
            self._note = canonical_json(self._fingerprint).encode()
        self._upto = offsets
        return ResumePoint(offsets, selection)

    async def take(
        self, picked: Sequence[SelectedRecord], upto: Mapping[TopicPartition, int]
    ) -> None:
        """Append the copies and the offsets in one transaction."""
        assert self._producer is not None, "open comes first"  # noqa: S101
        if any(partition.topic == self._topic for partition in upto):
            raise Rejected(
                "same_topic", f"{self._topic} would be replayed into itself, without end"
            )
        async with self._producer.transaction() as transaction:
            if picked:
                await transaction.append(
                    self._topic, [_copy(selected.record) for selected in picked]
                )
            if self._note:
                entry = Entry(self._name.encode(), self._note)
                await transaction.append(self._notes.topic, [entry])
            transaction.commit_offsets(self._group, upto)
        self._note = b""
        self._upto |= upto

    async def finish(self) -> None:
        """Note that it is finished, then delete its group where nobody will continue it."""
        assert self._producer is not None, "open comes first"  # noqa: S101
        if not self._upto:
            return
        finished = canonical_json({**self._fingerprint, FINISHED: True}).encode()
        async with self._producer.transaction() as transaction:
            entry = Entry(self._name.encode(), finished)
            await transaction.append(self._notes.topic, [entry])
        if not self._resumable:
            # All of it is through: without the right to delete, its group stays as a finished one.
            with suppress(BridgeError):
                # Returns once the last transaction's offsets are there, so that none come later.
                await self._log.committed(self._group, self._upto)
                await self._log.delete_group(self._group)

    async def close(self) -> None:
        """Let go of the name."""
        if self._producer is not None:
            await self._producer.close()


def agent_sink(
    log: Log, bridge: str, name: str, agent: str, *, resumable: bool = True
) -> TopicSink:
    """Into one agent: it handles the events wherever it runs, or as soon as it does."""
    topic = replay_topic(bridge, agent)
    return TopicSink(log, bridge, name, topic, tombstones=False, resumable=resumable)


def refuse_own_topic(bridge: str, topic: str, entities: Collection[str]) -> None:
    """Raise Rejected (`own_topic`) for a topic that the bridge itself reads: copies of events among
    its commands, receipts, changes or checkpoints would be taken for what they are not.
    """
    own = {system_topic(bridge, which) for which in SYSTEM_TOPICS}
    own |= {change_topic(bridge, *split_entity(entity)) for entity in entities}
    if topic in own or topic.startswith(internal_topic(bridge, "")):
        raise Rejected(
            "own_topic",
            f"{topic} is a topic of the bridge's own, so nothing is replayed into it: name an agent "
            "(--to AGENT), or another topic",
        )


def record_location(record: Record) -> str:
    """A record's topic, partition and offset, as in the header of its copies."""
    return f"{record.topic}:{record.partition}:{record.offset}"


def _copy(record: Record) -> Entry:
    kept: Headers = [pair for pair in record.headers if pair[0] != REPLAY]
    return Entry(record.key, record.value, [*kept, (REPLAY, record_location(record).encode())])
