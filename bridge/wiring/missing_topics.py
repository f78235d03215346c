"""Topics that the log had and doesn't have any more: what they held is lost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from bridge.capture.checkpoint.record import CheckpointRecord, was_captured
from bridge.capture.checkpoint.store import progress_of
from bridge.capture.checkpoint.store import topic as positions_topic
from bridge.capture.deleted_topics import deleted_text
from bridge.capture.report.status_record import statuses
from bridge.config import Config
from bridge.log.port import Log
from bridge.model.names import SYSTEM_TOPICS, change_topic, system_topic


@dataclass(frozen=True, slots=True)
class MissingTopic:
    """A topic that was deleted: whose it was, what that means, and what to do."""

    topic: str
    owner: str
    text: str
    hint: str


async def missing_topics(log: Log, config: Config, topics: AbstractSet[str]) -> list[MissingTopic]:
    """Those of this bridge that must have been deleted, because something was written into them or
    they are created together with others; `topics` are those that are there.
    """
    bridge = config.bridge
    if topics >= {positions_topic(bridge).name, *_change_topics(config)}:
        # The reports of an hour need not be read to know it.
        return _fixed(bridge, topics)
    captured = sorted((await statuses(log, bridge)).keys() & {s.spec.name for s in config.systems})
    progress: dict[str, CheckpointRecord] = {}
    if positions_topic(bridge).name in topics:
        for name in captured:
            capture_progress = await progress_of(log, bridge, name)
            if capture_progress is not None:
                progress[name] = capture_progress
    return [
        *_fixed(bridge, topics),
        *_positions(bridge, topics, captured),
        *_changes(config, topics, progress),
    ]


def _fixed(bridge: str, topics: Collection[str]) -> list[MissingTopic]:
    """Agents and executors create all of them together; some of them others create, too."""
    names = [system_topic(bridge, name) for name in sorted(SYSTEM_TOPICS)]
    missing = [name for name in names if name not in topics]
    if len(missing) > len(names) // 2:
        return []
    return [
        MissingTopic(
            name,
            "",
            f"topic {name} was deleted: what it held is lost",
            "bring the log back from a backup, or start the bridge again, which makes it again, empty",
        )
        for name in missing
    ]


def _change_topics(config: Config) -> list[str]:
    return [
        change_topic(config.bridge, entity.system, entity.name)
        for system in config.systems
        for entity in system.spec.entities
    ]


def _positions(bridge: str, topics: Collection[str], captured: Sequence[str]) -> list[MissingTopic]:
    """Whoever reported of a capture had created it before."""
    name = positions_topic(bridge).name
    if name in topics or not captured:
        return []
    return [
        MissingTopic(
            name,
            "",
            f"topic {name} was deleted: how far capture of {', '.join(captured)} had come is lost",
            "bring the log back from a backup, or start capture again: it says which systems it "
            "can't continue with, and what to do",
        )
    ]


def _changes(
    config: Config, topics: Collection[str], progress: Mapping[str, CheckpointRecord]
) -> list[MissingTopic]:
    return [
        MissingTopic(
            change_topic(config.bridge, entity.system, entity.name),
            entity.qualified,
            deleted_text(change_topic(config.bridge, entity.system, entity.name)),
            f"start capture again: it makes the topic again and pauses {entity.qualified} until "
            f"`bridgectl snapshot {entity.qualified} --resume` has the table read again",
        )
        for system in config.systems
        if (reached := progress.get(system.spec.name)) is not None
        for entity in system.spec.entities
        if was_captured(reached, entity.name)
        and change_topic(config.bridge, entity.system, entity.name) not in topics
    ]
