"""A system with its connector and what its capture reported last."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bridge.model.errors import ConfigurationError
from bridge.model.redacted_messages import redact_messages

if TYPE_CHECKING:
    from bridge.capture.report.status_record import SourceStatus
    from bridge.model.work_progress import Stall
    from bridge.wiring import Bridge


async def system_rows(bridge: Bridge) -> list[dict[str, Any]]:
    """A row for each system, as of the time at which the reports were read."""
    from bridge.capture.report.status_record import statuses

    statuses_by_system = await statuses(bridge.log, bridge.name)
    # An earlier time would be before the newest reports, and an up-to-date source would have an
    # age.
    now = time.time_ns() // 1000
    return [
        redact_messages(
            system_row(bridge, name, statuses_by_system.get(name), now)
            | await _change_detection(bridge, name)
        )
        for name in bridge.systems
    ]


def system_row(bridge: Bridge, name: str, status: SourceStatus | None, now: int) -> dict[str, Any]:
    """A system with its connector and what its capture reported last; `now` in microseconds."""
    from bridge.wiring import load_connector
    from bridge.wiring.capability_phrases import capability_phrases

    config = bridge.systems[name]
    connector = load_connector(config)
    row: dict[str, Any] = {
        "system": name,
        "connector": connector.name,
        "url": config.shown_url,
        "capabilities": dataclasses.asdict(connector.capabilities()),
        "capability_phrases": capability_phrases(connector.capabilities()),
        "entities": len(bridge.systems[name].spec.entities),
        "state": "never captured",
        "healthy": None,
    }
    if status is None:
        return row
    stalls = status.stalls(now, bridge.config.stalled_after_s)
    return row | {
        "state": status.state if not _silent(status, now) else "not running",
        "healthy": not stalls,
        "stalls": [stall_row(stall, now) for stall in stalls],
        "reason": status.reason,
        "progress_age_seconds": status.age(now),
        "lag_seconds": status.lag(now),
        "lag_bytes": status.lag_bytes,
        "position": status.position,
        "epoch": status.epoch,
        "changes": status.changes,
        "dead_letters": status.dead,
        "paused": {entity: dict(why) for entity, why in status.paused.items()},
        "unavailable": dict(status.troubles),
        "degraded": dict(status.remarks),
        "snapshots": [dict(job) for job in status.snapshots],
        "instance": status.instance,
        "reported_at": datetime.fromtimestamp(status.at / 1_000_000, UTC),
    }


def stall_row(stall: Stall, now: int) -> dict[str, Any]:
    """Something that makes no progress although it should."""
    return {
        "kind": stall.kind,
        "name": stall.name,
        "since": datetime.fromtimestamp(stall.since / 1_000_000, UTC),
        "seconds": stall.seconds(now),
        "reason": stall.reason,
    }


def _silent(status: SourceStatus, now: int) -> bool:
    """Whether reports have stopped: they arrive each second, even from a source without a
    connection.
    """
    from bridge.capture.report.status_record import MICROSECONDS_PER_SECOND, TOO_OLD

    return now - status.at > TOO_OLD * MICROSECONDS_PER_SECOND


async def _change_detection(bridge: Bridge, name: str) -> dict[str, Any]:
    """How each entity is captured; an unavailable system doesn't prevent the rest of the report."""
    from bridge.wiring.change_detection import describe_change_detection

    try:
        connector, system = bridge.system(name)
    except ConfigurationError as error:
        return {"change_detection": {}, "change_detection_error": str(error)}
    entities = bridge.systems[name].spec.entities
    phrases, why = await describe_change_detection(connector, system, entities)
    return {"change_detection": dict(phrases), "change_detection_error": why}
