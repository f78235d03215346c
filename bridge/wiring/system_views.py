"""Views of captured systems, kept up beside their copies in a process that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.config import Config
from bridge.gateway.follower.followed_topics import partitions_to_follow
from bridge.gateway.view.contract import ViewStatus
from bridge.gateway.view.system_view import SystemView
from bridge.gateway.view.view_choice import OfferedEntity, ViewChoice, choose_entities
from bridge.gateway.view.view_parts import ProvesFreshness, ViewParts
from bridge.log.embedded.filesystem import network_file_system
from bridge.log.port import Log
from bridge.model.error_text import describe_error, error_message
from bridge.model.errors import BridgeError, Rejected
from bridge.model.names import change_topic
from bridge.model.types import Entity
from bridge.observe import Observer, PartState, RecordDistrusted, ViewMoved, both
from bridge.ports.entity_mapping import EntityMapping
from bridge.wiring.gateway_reports import GatewaySection
from bridge.wiring.system_copies import capture_records

if TYPE_CHECKING:
    from bridge.wiring.bridge import Bridge

RETRY_S: Final = 5.0
"""Before a view is begun again after its system or its log was unavailable."""
NOTICE_INTERVAL_S: Final = 10.0
"""Between two notices about a view that is being built."""
CHECK_INTERVAL_S: Final = 0.5


def view_path(config: Config, system: str) -> Path:
    """The file of a system's view."""
    return config.view_folder / f"{config.bridge}.{system}.view"


class ViewLife:
    """The view of one system in a process that runs, with what keeps it from running. `section`: for
    `bridgectl status`.
    """

    def __init__(self, bridge: Bridge, system: str, proofs: ProvesFreshness) -> None:
        self._bridge = bridge
        self._system = system
        self._proofs = proofs
        self._observer = both(bridge.group_reports, bridge.observer)
        self._view: SystemView | None = None
        self._choice = ViewChoice((), {})
        self._trouble = "it is being made"

    def section(self) -> GatewaySection:
        """As it is now."""
        if self._trouble:
            facts = {"phase": "off", "reason": self._trouble}
            return GatewaySection(f"off: {self._trouble}", facts)
        return view_section(None if self._view is None else self._view.status(), self._choice)

    async def run(self) -> None:
        """Keep the view up until cancelled. What keeps it from that is reported, and nobody who reads
        has to know: the next source answers.
        """
        while True:
            try:
                await self._live()
            except BridgeError as error:
                self._trouble = error_message(error)
            except Exception as error:  # noqa: BLE001 - reads do without it, and status says so
                self._trouble = f"a defect, please report it: {describe_error(error)}"
            finally:
                self._view = None
                self._bridge.views.pop(self._system, None)
            self._observer(ViewMoved(self._system, "off", 0.0, 0, 0.0, self._trouble))
            await asyncio.sleep(RETRY_S)

    async def _live(self) -> None:
        view, self._choice = await make_view(self._bridge, self._system, self._proofs)
        self._trouble = ""
        if view is None:
            await asyncio.Event().wait()
            return
        self._view = self._bridge.views[self._system] = view
        reporting = asyncio.ensure_future(_report(view, self._system, self._observer))
        try:
            await view.run()
        finally:
            reporting.cancel()


async def make_view(
    bridge: Bridge, system: str, proofs: ProvesFreshness | None
) -> tuple[SystemView | None, ViewChoice]:
    """The view of a system, if it holds any entity, and what was chosen. Raises RetryLater or
    ConfigurationError, as `Bridge.tables`.
    """
    config, spec = bridge.config, bridge.systems[system].spec
    connector, _ = bridge.system(system)
    can = connector.capabilities()
    tables = await bridge.tables(system)
    records = await _record_counts(bridge.log, bridge.name, system, list(tables))
    choice = choose_entities(
        [
            OfferedEntity(entity.name, entity.view, records.get(entity.name, 0))
            for entity in spec.entities
            if entity.name in records
        ],
        spec.view_bytes,
        is_captured=can.capture,
        every_change=can.every_change and can.deletes == "streamed",
    )
    if not choice.held:
        return None, choice
    entities = {name: tables[name].entity for name in choice.held}
    observer = both(bridge.group_reports, bridge.observer)
    parts = ViewParts(
        log=bridge.log,
        registry=bridge.registry,
        codec=bridge.codec,
        bridge=bridge.name,
        system=system,
        entities=entities,
        entity_now=lambda name: tables[name].entity,
        exact_fields={name: _exact_fields(tables[name], entities[name]) for name in entities},
        path=view_path(config, system),
        max_bytes=spec.view_bytes,
        history_ms=config.history_ms,
        capture=capture_records(system),
        proofs=proofs,
        report=lambda _, reason: observer(PartState("copy", system, "retrying", reason)),
        report_record=lambda reason: observer(RecordDistrusted(system, "view", reason)),
        network=network_file_system,
    )
    return SystemView(parts), choice


def view_section(status: ViewStatus | None, choice: ViewChoice) -> GatewaySection:
    """What `bridgectl status` shows of a view. Pure."""
    facts = {"left_out": dict(choice.left_out)}
    if status is None:
        reasons = sorted(set(choice.left_out.values())) or ["the system has no entity"]
        return GatewaySection(f"off: {'; '.join(reasons)}", {"phase": "off", **facts})
    held = f"{len(status.entities)} entities in {status.bytes / 1_000_000:.1f} MB"
    progress = f" {status.share:.0%}" if status.phase in {"building", "catching up"} else ""
    reason = f" ({status.reason})" if status.reason else ""
    doubts = f", in doubt: {', '.join(sorted(status.doubts))}" if status.doubts else ""
    return GatewaySection(
        f"{status.phase}{progress}: {held}{doubts}{reason}",
        {
            **facts,
            "phase": status.phase,
            "reason": status.reason,
            "share": status.share,
            "rows": status.rows,
            "rate": status.rate,
            "bytes": status.bytes,
            "entities": sorted(status.entities),
            "doubts": {name: list(reasons) for name, reasons in (status.doubts or {}).items()},
        },
    )


def _exact_fields(table: EntityMapping, entity: Entity) -> frozenset[str]:
    """The fields whose equality at the source is that of their bytes."""

    def is_exact(name: str) -> bool:
        try:
            return table.is_exact((name,))
        except Rejected:
            return False  # nobody can ask by it

    return frozenset(field.name for field in entity.fields if is_exact(field.name))


async def _record_counts(
    log: Log, bridge: str, system: str, entities: list[str]
) -> Mapping[str, int]:
    """How many records the topic of each entity holds at most. Raises RetryLater."""
    names = {change_topic(bridge, system, entity): entity for entity in entities}
    partitions = partitions_to_follow(await log.topics(), names)
    begins = await log.beginning_offsets(partitions) if partitions else {}
    ends = await log.high_watermarks(partitions) if partitions else {}
    counts = dict.fromkeys(entities, 0)
    for each in partitions:
        counts[names[each.topic]] += max(0, ends[each] - begins[each])
    return counts


async def _report(view: SystemView, system: str, observer: Observer) -> None:
    phase, due = "", 0.0
    while True:
        status, now = view.status(), asyncio.get_running_loop().time()
        if status.phase != phase or (status.phase == "building" and now >= due):
            phase, due = status.phase, now + NOTICE_INTERVAL_S
            observer(
                ViewMoved(
                    system, phase, status.share, status.rows, round(status.rate), status.reason
                )
            )
        await asyncio.sleep(CHECK_INTERVAL_S)
