"""Whether capture can continue where the log says it stands: at its next start it would stop else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bridge.capture.checkpoint.store import progress_of
from bridge.capture.checkpoint.store import topic as positions_topic
from bridge.config import Config
from bridge.connector import Checkpoint, ChecksResuming, Connector, System
from bridge.log.port import Log
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.wiring.check.result import CheckResult, Severity
from bridge.wiring.event_log import make_log

CheckpointOf = Callable[[str], Awaitable[Checkpoint | None]]
"""Reads how far a system's capture has come as of the call, as the log has it; None: it never ran."""


@asynccontextmanager
async def checkpoint_reader(config: Config) -> AsyncIterator[CheckpointOf | None]:
    """The log's checkpoints, read when they are asked for; None where the log can't be opened, which
    `log_findings` has reported.
    """
    if config.log.path is not None and not config.log.path.exists():
        yield _none
        return
    try:
        log = make_log(config)
    except BridgeError:
        yield None
        return
    try:
        try:
            await log.open()
        except BridgeError:
            yield None
            return
        yield lambda system: _checkpoint(log, config.bridge, system)
    finally:
        await log.close()


async def _none(_system: str) -> Checkpoint | None:
    return None


async def _checkpoint(log: Log, bridge: str, system: str) -> Checkpoint | None:
    if positions_topic(bridge).name not in await log.topics():
        return None
    progress = await progress_of(log, bridge, system)
    return None if progress is None else progress.checkpoint


async def resuming_findings(
    connector: Connector, system: System, checkpoint_of: CheckpointOf | None
) -> AsyncGenerator[CheckResult, None]:
    """What would stop capture at its next start."""
    if checkpoint_of is None or not isinstance(connector, ChecksResuming):
        return
    location = f"system {system.name}"
    try:
        findings = await connector.check_resuming(system, lambda: checkpoint_of(system.name))
    except (RetryLater, ConfigurationError) as error:
        yield CheckResult("error", "system", str(error), location)
        return
    for item in findings:
        severity: Severity = "error" if item.fatal else "warning"
        yield CheckResult(severity, "system", item.what, location, fix=item.fix, setup=item.create)
