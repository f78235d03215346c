"""The specs of a bridge's topics: partitions, cleanup, retention. The only place for them.

Used by all code that creates a topic, by `bridgectl check` and by `log copy`. Change topics are
compacted once events are older than `history`; topics that people and other programs read are kept
for ever; internal topics have one partition, because their order is guaranteed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from bridge.log.port import Cleanup, Log, TopicInfo, TopicSpec
from bridge.model.errors import ConfigurationError
from bridge.model.names import (
    CONTROL,
    COPIED,
    GATEWAYS,
    POSITIONS,
    REPLAYS,
    SCHEMA_IDS,
    SCHEMAS,
    STATUS,
    SYSTEM_TOPICS,
    change_topic,
    internal_topic,
    replay_topic,
    split_entity,
    system_topic,
)

CONTROL_RETENTION_MS: Final = 7 * 24 * 3600 * 1000
"""Long enough for a running capture to read a request."""
TOMBSTONE_RETENTION_MS: Final = 24 * 3600 * 1000
"""How long tombstones of a compacted topic without `history_ms` are kept."""

_COMPACTED: Final = frozenset({POSITIONS, STATUS, SCHEMA_IDS, COPIED, REPLAYS, GATEWAYS})


def change_topic_spec(bridge: str, entity: str, history_ms: int | None) -> TopicSpec:
    """The topic of the changes of `entity` (`system.entity`)."""
    return TopicSpec(change_topic(bridge, *split_entity(entity)), "compact", history_ms=history_ms)


def system_topic_spec(bridge: str, name: str) -> TopicSpec:
    """One of SYSTEM_TOPICS: commands, receipts, dead letters and so on."""
    return TopicSpec(system_topic(bridge, name))


def replay_topic_spec(bridge: str, agent: str) -> TopicSpec:
    """The topic of the events that are replayed into one agent."""
    return TopicSpec(replay_topic(bridge, agent))


def internal_topic_spec(bridge: str, name: str) -> TopicSpec:
    """A topic of the bridge's own state."""
    cleanup: Cleanup = "compact" if name in _COMPACTED else "delete"
    retention_ms = CONTROL_RETENTION_MS if name == CONTROL else None
    return TopicSpec(internal_topic(bridge, name), cleanup, 1, retention_ms=retention_ms)


def public_topic_specs(
    bridge: str, entities: Iterable[str], history_ms: int | None
) -> list[TopicSpec]:
    """All topics that people and other programs read."""
    return [
        *(change_topic_spec(bridge, entity, history_ms) for entity in entities),
        *(system_topic_spec(bridge, name) for name in sorted(SYSTEM_TOPICS)),
    ]


def internal_topic_specs(
    bridge: str, *, embedded_registry: bool, remembers_ids: bool
) -> list[TopicSpec]:
    """Every internal topic that a running bridge has.

    embedded_registry: the schemas are in a topic of the log
    remembers_ids: the log records the schemas of its registry's ids
    """
    names = [POSITIONS, STATUS, CONTROL]
    names += [SCHEMAS] if embedded_registry else []
    names += [SCHEMA_IDS] if remembers_ids else []
    return [internal_topic_spec(bridge, name) for name in names]


def spec_differences(
    spec: TopicSpec, info: TopicInfo, partitions: int | None
) -> Iterator[tuple[str, str]]:
    """The differences of a topic from `spec`, each with a hint. Pure.

    partitions: the configured number if `spec` has none; None if neither has one
    """
    number = spec.partitions or partitions
    if number is not None and info.partitions != number:
        yield (
            f"{info.partitions} partitions instead of {number}: the order of a key would be lost",
            "set `partitions` to the actual number, or remove it",
        )
    if info.spec.cleanup != spec.cleanup:
        yield (
            f"cleanup is {info.spec.cleanup} instead of {spec.cleanup}",
            "change the topic's setting",
        )
        return
    if spec.cleanup == "compact" and info.spec.history_ms != spec.history_ms:
        actual, configured = (_duration(each.history_ms, "no time") for each in (info.spec, spec))
        yield (
            f"keeps every event for {actual} instead of {configured}",
            "change min.compaction.lag.ms and delete.retention.ms of the topic, or `history`",
        )
    if spec.cleanup == "delete" and info.spec.retention_ms != spec.retention_ms:
        actual, configured = (_duration(each.retention_ms, "ever") for each in (info.spec, spec))
        yield f"keeps records for {actual} instead of {configured}", "change the topic's retention"


def _duration(milliseconds: int | None, none: str) -> str:
    if milliseconds is None:
        return none
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


async def check_loses_nothing(log: Log, spec: TopicSpec, loss: str) -> None:
    """Raises ConfigurationError if a topic that another program created removes records that `spec`
    keeps, with the consequence `loss`.
    """
    info = (await log.topics()).get(spec.name)
    if info is None:
        return
    if info.spec.cleanup == spec.cleanup and info.spec.retention_ms is None:
        return
    cleanup: str = info.spec.cleanup
    if info.spec.retention_ms is not None:
        cleanup += f" after {info.spec.retention_ms} ms"
    setting = "compact" if spec.cleanup == "compact" else "delete and its retention.ms to -1"
    raise ConfigurationError(
        f"{log.name}: topic {spec.name} was created with the cleanup {cleanup}: {loss}. Set its "
        f"cleanup.policy to {setting}"
    )
