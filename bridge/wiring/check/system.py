"""Checks of a legacy system itself: what is missing there, and whether its tables are
compatible.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from types import MappingProxyType

from bridge.agent import Agent
from bridge.capture.entity import shape_conflict
from bridge.capture.table_shapes import describe_tables
from bridge.config import SystemConfig
from bridge.connector import Connector, Finding, Shape, System
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.model.names import change_topic
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.make_plan import make_plan
from bridge.wiring.capability_phrases import capability_phrases
from bridge.wiring.change_detection import describe_change_detection
from bridge.wiring.check.agents import where_findings
from bridge.wiring.check.commands import fitting_findings
from bridge.wiring.check.declarations import command_findings, lookup_findings
from bridge.wiring.check.result import CheckResult, Severity, result_of_problem
from bridge.wiring.check.snapshots import snapshot_findings
from bridge.wiring.system_limits import bound_findings


async def system_findings(
    config: SystemConfig,
    connector: Connector,
    system: System,
    agents: Sequence[Agent] = (),
    recorded: Mapping[str, Entity] = MappingProxyType({}),
) -> AsyncGenerator[CheckResult, None]:
    """The connector's own findings, then every entity against the catalogue and as its topic has it
    (`recorded`); and what `agents` want of entities whose fields only the catalogue has.
    """
    location = f"system {system.name}"
    try:
        findings = await connector.check(system)
        shapes, lacking = await describe_tables(connector, system)
    except (RetryLater, ConfigurationError) as error:
        yield CheckResult("error", "system", str(error), location)
        return
    async for result in _capability_results(config, connector, system):
        yield result
    for item in findings:
        severity: Severity = "error" if item.fatal else "warning"
        yield CheckResult(severity, "system", item.what, location, fix=item.fix, setup=item.create)
    keys: dict[str, tuple[str, ...]] = {}
    wrong = any(item.fatal for item in findings)
    reported = " ".join(item.what for item in findings)
    for entity in config.spec.entities:
        if (reason := lacking.get(entity.table)) is not None:
            wrong = True
            if reason not in reported:
                yield result_of_problem(
                    config.document.problem(("entities", entity.name, "from"), reason)
                )
            continue
        fields: list[str] = []
        problems = list(_fit(config, system, entity, shapes, keys, fields=fields))
        stored = recorded.get(entity.qualified)
        if not problems and stored is not None:
            problems += _topic_fit(config, system.bridge, entity, shapes[entity.table], stored)
        for result in problems:
            wrong = True
            yield result
        if fields and not entity.fields:
            for result in where_findings(agents, entity.qualified, fields):
                wrong = True
                yield result
    # Whatever else is wrong with a table would only be said twice.
    left_out = lacking.keys() | _tables_with_errors(config, findings)
    async for result in snapshot_findings(config, connector, system, left_out):
        wrong = True
        yield result
    for result in (*command_findings(config, keys), *lookup_findings(config, keys)):
        yield result
    async for result in fitting_findings(config, connector, system):
        wrong = wrong or result.severity != "ok"
        yield result
    if not wrong:
        count = len(config.spec.entities)
        yield CheckResult(
            "ok", "system", f"reachable; entities that fit their tables: {count}", location
        )


def _tables_with_errors(config: SystemConfig, findings: Sequence[Finding]) -> set[str]:
    fatal = " ".join(item.what for item in findings if item.fatal)
    tables = {entity.table for entity in config.spec.entities}
    return {table for table in tables if repr(table) in fatal}


async def _capability_results(
    config: SystemConfig, connector: Connector, system: System
) -> AsyncGenerator[CheckResult, None]:
    """What the connector can do, how it captures each entity, and how many connections it may open."""
    location = f"system {system.name}"
    phrases = capability_phrases(connector.capabilities())
    yield CheckResult("ok", "system", "; ".join(phrases), location)
    change_detection, why = await describe_change_detection(connector, system, config.spec.entities)
    for name, phrase in change_detection.items():
        yield CheckResult("ok", "system", f"{name} is captured by {phrase}", location)
    if why:
        unknown = f"how each entity is captured isn't known: {why}"
        yield CheckResult("warning", "system", unknown, location)
    async for result in bound_findings(config, connector, system):
        yield result


def _topic_fit(
    config: SystemConfig, bridge: str, spec: EntitySpec, shape: Shape, stored: Entity
) -> Iterator[CheckResult]:
    """Whether rows of the table as it is now can go into the topic, as capture will find."""
    topic = change_topic(bridge, spec.system, spec.name)
    try:
        entity = entity_type(spec, shape, stored)
        conflicts = [shape_conflict(stored, entity, f"{topic}-{part}") for part in ("key", "value")]
    except ConfigurationError as error:
        conflicts = [str(error)]
    for conflict in dict.fromkeys(filter(None, conflicts)):
        yield result_of_problem(config.document.problem(("entities", spec.name), conflict))


def _fit(
    config: SystemConfig,
    system: System,
    spec: EntitySpec,
    shapes: Mapping[str, Shape],
    keys: dict[str, tuple[str, ...]],
    *,
    fields: list[str],
) -> Iterator[CheckResult]:
    """Whether the entity can be made of its table; its key goes into `keys`, its fields into
    `fields`.
    """
    shape = shapes.get(spec.table)
    where = ("entities", spec.name)
    if shape is None:
        problem = config.document.problem((*where, "from"), f"there is no table {spec.table!r}")
        yield result_of_problem(problem)
        return
    try:
        entity = entity_type(spec, shape)
        keys[spec.name] = entity.key
        fields += [field.name for field in entity.fields]
        mask_key = config.mask_key.reveal().encode() if config.mask_key else None
        # Made only to see that it can be: the schema ids don't matter.
        RowEncoder(make_plan(spec, entity, shape), system.bridge, 0, 0, 1, mask_key=mask_key)
    except BridgeError as error:
        yield result_of_problem(config.document.problem(where, str(error)))
