"""Entities by what is known of them: the registry's schema, or the table and its declaration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from bridge.config import Config
from bridge.connector import Shape
from bridge.log.registry_port import RegisteredSchema
from bridge.model.avro import entity_of
from bridge.model.errors import ConfigurationError
from bridge.model.names import change_topic, split_entity
from bridge.model.specs import EntitySpec
from bridge.model.types import Entity
from bridge.plan.entity_type import entity_type
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import Plan
from bridge.wiring import Bridge
from bridge.wiring.connectors import build_system, load_connector


@dataclass(frozen=True, slots=True)
class RegisteredSubject:
    """A schema and the subject that it stands under."""

    subject: str
    schema: RegisteredSchema


@dataclass(frozen=True, slots=True)
class CatalogueEntity:
    """An entity over its table as both are now."""

    spec: EntitySpec
    entity: Entity
    shape: Shape


async def registered_subject(
    bridge: Bridge, name: str, part: Literal["key", "value"] = "value"
) -> RegisteredSubject | None:
    """The registry's newest schema of an entity's change topic."""
    subject = f"{change_topic(bridge.name, *split_entity(name))}-{part}"
    schema = await bridge.registry.latest(subject)
    return None if schema is None else RegisteredSubject(subject, schema)


async def resolve_entity(bridge: Bridge, name: str) -> Entity:
    """The entity as its events have it, else as its table and declaration would make it."""
    subject = await registered_subject(bridge, name)
    if subject is None:
        return (await from_catalogue(bridge, name)).entity
    entity, key = entity_of(json.loads(subject.schema.text)), bridge.entities[name].key
    if sorted(key) != sorted(entity.key):
        return entity
    return Entity(entity.system, entity.name, key, entity.fields, bridge.entities[name].relations)


async def from_catalogue(bridge: Bridge, name: str) -> CatalogueEntity:
    """The entity that the table and its declaration make now.

    Raises ConfigurationError for what doesn't fit, RetryLater while the system is unavailable.
    """
    return await _build(bridge.config, name)


async def plan_entity(config: Config, name: str) -> Plan:
    """The plan of an entity over its table as it is now. Needs the system, not the log."""
    catalogue_entity = await _build(config, name)
    return make_plan(catalogue_entity.spec, catalogue_entity.entity, catalogue_entity.shape)


async def _build(config: Config, name: str) -> CatalogueEntity:
    system_name, entity_name = split_entity(name)
    config_of = {item.spec.name: item for item in config.systems}[system_name]
    spec = config_of.spec.entity(entity_name)
    connector = load_connector(config_of)
    system = build_system(config.bridge, config_of, connector)
    shape = (await connector.describe(system)).get(spec.table)
    if shape is None:
        raise ConfigurationError(f"{name}: system {system_name!r} has no table {spec.table!r}")
    return CatalogueEntity(spec, entity_type(spec, shape), shape)
