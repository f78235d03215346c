"""Prepares what capture of a source needs: its topics, and its entities with their schemas."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from bridge.capture import control
from bridge.capture.checkpoint import store
from bridge.capture.contract import CaptureDependencies
from bridge.capture.deleted_topics import check_positions
from bridge.capture.entity import CapturedEntity, EventTarget, Incompatible
from bridge.capture.report import status_record
from bridge.capture.table_shapes import describe_tables, table_uses
from bridge.log.port import TopicSpec
from bridge.log.topic_specs import change_topic_spec, system_topic_spec
from bridge.model.errors import ConfigurationError
from bridge.model.names import DEAD, change_topic


class Preparation:
    """Creates topics and entities once; what can't be created yet is retried at each call.

    `entities`: by bare name.
    `unprepared`: entities whose table can't be described or is incompatible, and why.
    """

    def __init__(self, deps: CaptureDependencies) -> None:
        self._deps = deps
        self.entities: dict[str, CapturedEntity] = {}
        self.unprepared: Mapping[str, str] = {}

    @property
    def change_topics(self) -> dict[str, str]:
        """The topic of each entity."""
        deps = self._deps
        return {
            spec.name: change_topic(deps.bridge, spec.system, spec.name) for spec in deps.entities
        }

    async def existing_topics(self) -> Collection[str]:
        """The topics that existed before any was created. Topics deleted since this capture began
        are created again with their proper settings. Raises ConfigurationError if the topic of the
        checkpoint records is gone.
        """
        deps = self._deps
        existing = await deps.log.topics()
        if self.entities:
            check_positions([store.topic(deps.bridge).name], existing)
            if any(spec.name not in existing for spec in capture_topics(deps)):
                self.entities = {}
        return existing

    async def prepare(self) -> None:
        """Prepare topics, schemas and entities. Raises ConfigurationError if no entity can be
        prepared, RetryLater while the system or the log is unavailable.
        """
        if not self.entities:
            await self._create()
        undescribed = {each.spec.table for each in self.entities.values() if each.type is None}
        if undescribed:
            await self._describe(undescribed)

    async def _create(self) -> None:
        deps = self._deps
        await deps.log.create_topics(capture_topics(deps))
        await deps.dead.open()
        existing = await deps.log.topics()
        limit = min(deps.max_record_bytes, deps.log.max_record_bytes)
        entities: dict[str, CapturedEntity] = {}
        for spec in deps.entities:
            partitions = existing[change_topic(deps.bridge, spec.system, spec.name)].partitions
            target = EventTarget(deps.bridge, partitions, limit, deps.mask_key or None)
            entities[spec.name] = CapturedEntity(spec, target, deps.registry)
        for entity in entities.values():
            await entity.open()
        self.entities = entities

    async def _describe(self, tables: set[str]) -> None:
        """Create entities that have no event yet from their tables. One that can't be created is
        reported as unavailable; the others continue, if there are any.
        """
        deps = self._deps
        system = replace(deps.system, tables=table_uses(deps.system, tables))
        shapes, missing = await describe_tables(deps.connector, system)
        unprepared: dict[str, str] = {}
        for name, entity in self.entities.items():
            table = entity.spec.table
            if entity.type is not None or table not in tables:
                continue
            if table not in shapes:
                unprepared[name] = missing.get(table) or f"there is no table {table!r}"
                continue
            try:
                await entity.adapt(shapes[table])
            except (ConfigurationError, Incompatible) as error:
                unprepared[name] = str(error)
        if len(unprepared) == len(self.entities):
            raise ConfigurationError("; ".join(dict.fromkeys(unprepared.values())))
        self.unprepared = unprepared


def capture_topics(deps: CaptureDependencies) -> list[TopicSpec]:
    """Every topic that capture writes or reads, with its settings."""
    changes = [
        change_topic_spec(deps.bridge, spec.qualified, deps.history_ms) for spec in deps.entities
    ]
    return [
        *changes,
        system_topic_spec(deps.bridge, DEAD),
        store.topic(deps.bridge),
        status_record.topic(deps.bridge),
        control.topic(deps.bridge),
    ]
