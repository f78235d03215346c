"""Whether capture can go on where the log says it stands: at its next start it would stop else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from bridge.capture.positions import progress_of
from bridge.capture.positions import topic as positions_topic
from bridge.cli.check.found import Found, Weight
from bridge.config import Config
from bridge.connector import ChecksResuming, Connector, System
from bridge.log.port import Log
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.wiring.logs import make_log


async def checkpoints(config: Config) -> Mapping[str, bytes]:
    """How far each system's capture has come, as the log has it. Nothing is told of a log that
    can't be read: `log_findings` has.
    """
    if config.log.path is not None and not config.log.path.exists():
        return {}
    try:
        log = make_log(config)
        try:
            await log.open()
            return await _read(log, config)
        finally:
            await log.close()
    except BridgeError:
        return {}


async def _read(log: Log, config: Config) -> Mapping[str, bytes]:
    if positions_topic(config.bridge).name not in await log.topics():
        return {}
    found: dict[str, bytes] = {}
    for system in config.systems:
        progress = await progress_of(log, config.bridge, system.spec.name)
        if progress is not None and progress.checkpoint is not None:
            found[system.spec.name] = progress.checkpoint
    return found


async def resuming_findings(
    connector: Connector, system: System, after: bytes | None
) -> AsyncGenerator[Found, None]:
    """What would stop capture at its next start. `after` the log's checkpoint, if it has one."""
    if after is None or not isinstance(connector, ChecksResuming):
        return
    place = f"system {system.name}"
    try:
        findings = await connector.check_resuming(system, after)
    except (RetryLater, ConfigurationError) as error:
        yield Found("error", "system", str(error), place)
        return
    for item in findings:
        weight: Weight = "error" if item.fatal else "warning"
        yield Found(weight, "system", item.what, place, fix=item.fix, setup=item.create)
