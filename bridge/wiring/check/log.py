"""The log and the registry: reachable, and topics as the configuration wants them."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from pathlib import Path

from bridge.capture.entity import stored_type
from bridge.config import Config
from bridge.log.check_port import LogFinding, SupportsLogCheck
from bridge.log.port import Log, TopicInfo, TopicSpec
from bridge.log.registry_port import Registry
from bridge.log.topic_specs import (
    internal_topic_specs,
    public_topic_specs,
    replay_topic_spec,
    spec_differences,
)
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.model.names import (
    SCHEMA_IDS,
    SCHEMAS,
    change_topic,
    internal_topic,
    replay_topic,
    system_topic,
)
from bridge.model.types import Entity
from bridge.private_files import exposed_files
from bridge.wiring.check.access import access_findings
from bridge.wiring.check.result import CheckResult, Severity
from bridge.wiring.event_log import make_bare_registry, make_log, make_registry
from bridge.wiring.log_file_problem import log_file_problem
from bridge.wiring.missing_topics import missing_topics


def expected(config: Config) -> list[TopicSpec]:
    """Every topic of this bridge as it should be."""
    entities = (e.qualified for system in config.systems for e in system.spec.entities)
    kafka = config.log.kafka
    return [
        *public_topic_specs(config.bridge, entities, config.history_ms),
        *internal_topic_specs(
            config.bridge,
            embedded_registry=kafka is None or kafka.registry is None,
            remembers_ids=kafka is not None,
        ),
    ]


def replay_topics(config: Config, topics: Iterable[str]) -> list[TopicSpec]:
    """The topics of replays that are there, as they should be."""
    prefix = replay_topic(config.bridge, "")
    agents = (name.removeprefix(prefix) for name in sorted(topics) if name.startswith(prefix))
    return [replay_topic_spec(config.bridge, agent) for agent in agents]


def collisions(names: Iterable[str], existing_topics: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Pairs of topics that Kafka takes for one, because it writes `.` as `_` in its metrics; the
    first of each is one of `names`.
    """
    seen: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for name in [*sorted(existing_topics), *names]:
        other = seen.setdefault(name.replace(".", "_"), name)
        if other != name:
            pairs.append((name, other))
    return pairs


def topic_findings(config: Config, topics: Mapping[str, TopicInfo]) -> list[CheckResult]:
    """Every difference between the topics and the configuration. Pure."""
    results: list[CheckResult] = []
    target = config.log
    # A default is for topics to come: those that `log copy` made have as many as before.
    partitions_configured = target.kafka is None or "partitions" in target.kafka.model_fields_set
    stated = target.kafka.partitions if target.kafka is not None else target.partitions
    partitions = stated if partitions_configured else None
    for wanted in [*expected(config), *replay_topics(config, topics)]:
        existing = topics.get(wanted.name)
        if existing is None:
            continue
        for what, hint in spec_differences(wanted, existing, partitions):
            # What the bridge keeps for itself is lost, and running doesn't get over it.
            internal = wanted.name.startswith("_") and "cleanup" in what
            severity: Severity = "error" if internal or "partitions" in what else "warning"
            results.append(CheckResult(severity, "log", what, f"topic {wanted.name}", hint))
    return results


async def log_findings(
    config: Config, recorded: dict[str, Entity] | None = None
) -> AsyncGenerator[CheckResult, None]:
    """Opens the log without writing to it; an embedded one that isn't there yet is not made. The
    entities as their newest schemas have them go into `recorded`.
    """
    recorded = {} if recorded is None else recorded
    if config.log.path is not None:
        problem = await asyncio.to_thread(log_file_problem, config.log.path)
        if problem:
            yield CheckResult("error", "log", problem, str(config.log.path))
            return
        if not config.log.path.exists():
            yield _new_file(config.log.path)
            return
    if config.log.path is not None:
        for exposed in _exposed(config.log.path):
            yield exposed
        for scarce in _scarce(config.log.path):
            yield scarce
    try:
        log = make_log(config)
    except BridgeError as error:
        yield CheckResult("configuration", "log", str(error), config.file)
        return
    location = f"log {log.name}"
    specs = expected(config)
    try:
        if isinstance(log, SupportsLogCheck):
            findings = await log.check_servers([spec.name for spec in specs])
            for finding in findings:
                yield _of(finding, location)
            if any(finding.fatal for finding in findings):
                return
        await log.open()
        async for result in _opened(config, log, location, recorded):
            yield result
    except BridgeError as error:
        away = isinstance(error, RetryLater) and config.log.kafka is not None
        hint = "start it, or correct `servers` and `security` under log.kafka" if away else ""
        yield CheckResult("error", "log", str(error), location, hint)
    finally:
        await log.close()


def _new_file(path: Path) -> CheckResult:
    """What an embedded log that isn't there yet will meet."""
    from bridge.log.embedded.filesystem import location_problem

    if problem := location_problem(path):
        hint = "let `log:` name a file in a folder of this machine that this user may write into"
        return CheckResult("error", "log", problem, str(path), hint)
    return CheckResult("ok", "log", "is made at the first `bridgectl run`", str(path))


def _scarce(path: Path) -> Iterator[CheckResult]:
    from bridge.log.embedded.filesystem import SCARCE_BYTES, disk_problem

    hint = (
        "free some space: what can't be written waits, and the systems keep their own logs for it"
    )
    if problem := disk_problem(path):
        yield CheckResult("error", "log", problem, str(path), hint)
    elif problem := disk_problem(path, SCARCE_BYTES):
        yield CheckResult("warning", "log", problem, str(path), hint)


def _exposed(path: Path) -> Iterator[CheckResult]:
    for file in exposed_files(path):
        is_folder = file.is_dir()
        what = (
            "others may write into the folder of the log, and so replace it"
            if is_folder
            else "others than its owner may read the log, which holds business data"
        )
        mode = "go-w" if is_folder else "600"
        yield CheckResult(
            "warning", "log", what, str(file), fix=f"chmod {mode} {shlex.quote(str(file))}"
        )


async def _opened(
    config: Config, log: Log, location: str, recorded: dict[str, Entity]
) -> AsyncGenerator[CheckResult, None]:
    topics = await log.topics()
    wrong = topic_findings(config, topics)
    wrong += [
        CheckResult("error", "log", each.text, f"topic {each.topic}", each.hint)
        for each in await missing_topics(log, config, topics.keys())
    ]
    if isinstance(log, SupportsLogCheck):
        colliding = collisions([spec.name for spec in expected(config)], topics)
        wrong += [
            CheckResult(
                "error",
                "log",
                f"collides with topic {other}: Kafka takes `.` and `_` for the same and refuses "
                "the second",
                f"topic {name}",
                "use another name for the bridge, the system or the entity",
            )
            for name, other in colliding
        ]
        names = {name for name, _ in colliding}
        specs = [spec for spec in expected(config) if spec.name not in names]
        wrong += [_of(each, location) for each in await log.check_needs(specs, config.bridge)]
    for result in wrong:
        yield result
    if not wrong:
        ours = sum(wanted.name in topics for wanted in expected(config))
        yield CheckResult("ok", "log", f"reachable; topics of this bridge: {ours}", location)
    async for result in access_findings(config.bridge, log, location):
        yield result
    async for result in _registry(config, log, topics, recorded):
        yield result


def _of(finding: LogFinding, location: str) -> CheckResult:
    return CheckResult(
        "error" if finding.fatal else "warning", "log", finding.text, location, finding.hint
    )


async def _registry(
    config: Config, log: Log, topics: Mapping[str, TopicInfo], recorded: dict[str, Entity]
) -> AsyncGenerator[CheckResult, None]:
    """Whether it is there, the one that the log was written with, and holds what it should. What
    opening would create isn't made: where nothing was written yet there is nothing to compare.
    """
    over_http = config.log.kafka is not None and config.log.kafka.registry is not None
    remembers = internal_topic(config.bridge, SCHEMA_IDS) in topics
    if not over_http and internal_topic(config.bridge, SCHEMAS) not in topics:
        return
    from bridge.log.registry.remembered import RememberedRegistry

    registry = make_registry(config, log) if remembers else make_bare_registry(config, log)
    location = f"registry {registry.name}"
    try:
        await registry.open()
        if isinstance(registry, RememberedRegistry):
            await registry.verify_all()
        strange = await _foreign(config, registry, recorded)
    except BridgeError as error:
        yield CheckResult("error", "registry", str(error), "registry")
        return
    finally:
        await registry.close()
    for result in strange:
        yield result
    if not strange and (over_http or remembers):
        yield CheckResult("ok", "registry", "reachable", location)


async def _foreign(
    config: Config, registry: Registry, recorded: dict[str, Entity]
) -> list[CheckResult]:
    """Entities under whose subjects something else stands as the newest; the others go into
    `recorded`.
    """
    results: list[CheckResult] = []
    await registry.latest(f"{system_topic(config.bridge, 'commands')}-value")
    for system in config.systems:
        for entity in system.spec.entities:
            topic = change_topic(config.bridge, entity.system, entity.name)
            value = await registry.latest(f"{topic}-value")
            key = await registry.latest(f"{topic}-key")
            if value is None or key is None:
                continue
            try:
                stored = stored_type(entity.qualified, topic, key, value)
            except ConfigurationError as error:
                results.append(CheckResult("error", "registry", str(error), f"topic {topic}"))
            else:
                recorded[entity.qualified] = stored
    return results
