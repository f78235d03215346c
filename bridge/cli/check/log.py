"""The log and the registry: reachable, and topics as the configuration wants them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping

from bridge.capture.control import topic as control_topic
from bridge.capture.health import topic as status_topic
from bridge.capture.positions import topic as positions_topic
from bridge.cli.check.found import Found, Weight
from bridge.config import Config
from bridge.log.port import Log, TopicInfo, TopicSpec
from bridge.model.errors import BridgeError
from bridge.model.names import FIXED, change_topic, fixed_topic
from bridge.wiring.logs import make_log, make_registry


def expected(config: Config) -> list[TopicSpec]:
    """Every topic of this bridge as it should be."""
    changes = [
        TopicSpec(
            change_topic(config.bridge, entity.system, entity.name),
            "compact",
            history_ms=config.history_ms,
        )
        for system in config.systems
        for entity in system.spec.entities
    ]
    fixed = [TopicSpec(fixed_topic(config.bridge, name)) for name in sorted(FIXED)]
    inner = [topic(config.bridge) for topic in (positions_topic, status_topic, control_topic)]
    return [*changes, *fixed, *inner]


def differences(
    wanted: TopicSpec, there: TopicInfo, partitions: int | None
) -> Iterator[tuple[str, str]]:
    """What of a topic is otherwise than wanted, and a hint.

    `partitions` as the configuration says it, None where it doesn't.
    """
    number = wanted.partitions or partitions
    if number is not None and there.partitions != number:
        yield (
            f"{there.partitions} partitions instead of {number}: the order of a key would be lost",
            "set `partitions` to what is there, or leave it out",
        )
    if there.spec.cleanup != wanted.cleanup:
        yield (
            f"cleanup is {there.spec.cleanup} instead of {wanted.cleanup}",
            "change the topic's setting",
        )
        return
    if wanted.cleanup == "compact" and there.spec.history_ms != wanted.history_ms:
        kept, asked = (_span(spec.history_ms, "no time") for spec in (there.spec, wanted))
        yield (
            f"keeps every event for {kept} instead of {asked}",
            "change min.compaction.lag.ms and delete.retention.ms of the topic, or `history`",
        )
    if wanted.cleanup == "delete" and there.spec.retention_ms != wanted.retention_ms:
        kept, asked = (_span(spec.retention_ms, "ever") for spec in (there.spec, wanted))
        yield f"keeps records for {kept} instead of {asked}", "change the topic's retention"


def _span(milliseconds: int | None, none: str) -> str:
    if milliseconds is None:
        return none
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def topic_findings(config: Config, topics: Mapping[str, TopicInfo]) -> list[Found]:
    """Every difference between the topics and the configuration. Pure."""
    found: list[Found] = []
    target = config.log
    # A default is for topics to come: those that `log copy` made have as many as before.
    said = target.kafka is None or "partitions" in target.kafka.model_fields_set
    stated = target.kafka.partitions if target.kafka is not None else target.partitions
    partitions = stated if said else None
    for wanted in expected(config):
        there = topics.get(wanted.name)
        if there is None:
            continue
        for what, hint in differences(wanted, there, partitions):
            weight: Weight = "error" if "partitions" in what else "warning"
            found.append(Found(weight, "log", what, f"topic {wanted.name}", hint))
    return found


async def log_findings(config: Config) -> AsyncGenerator[Found, None]:
    """Opens the log without writing to it; an embedded one that isn't there yet is not made."""
    if config.log.path is not None and not config.log.path.exists():
        yield Found("ok", "log", "is made at the first `bridgectl run`", str(config.log.path))
        return
    try:
        log = make_log(config)
    except BridgeError as error:
        yield Found("configuration", "log", str(error))
        return
    place = f"log {log.name}"
    try:
        await log.open()
        async for found in _opened(config, log, place):
            yield found
    except BridgeError as error:
        yield Found("error", "log", str(error), place)
    finally:
        await log.close()


async def _opened(config: Config, log: Log, place: str) -> AsyncGenerator[Found, None]:
    topics = await log.topics()
    wrong = topic_findings(config, topics)
    for found in wrong:
        yield found
    if not wrong:
        ours = sum(wanted.name in topics for wanted in expected(config))
        yield Found("ok", "log", f"reachable; topics of this bridge: {ours}", place)
    if config.log.kafka is None or config.log.kafka.registry is None:
        return
    registry = make_registry(config, log)
    url = config.log.kafka.registry.url
    try:
        await registry.open()
        await registry.latest(f"{fixed_topic(config.bridge, 'commands')}-value")
    except BridgeError as error:
        yield Found("error", "registry", str(error), "registry")
    else:
        yield Found("ok", "registry", "reachable", f"registry {url}")
    finally:
        await registry.close()
