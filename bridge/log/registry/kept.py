"""Topics of which nothing may be removed."""

from __future__ import annotations

from bridge.log.port import Log, TopicSpec
from bridge.model.errors import ConfigurationError


async def check_kept(log: Log, wanted: TopicSpec, loss: str) -> None:
    """Raises ConfigurationError where a topic that somebody made is cleaned up otherwise: then
    `loss` happens.
    """
    info = (await log.topics()).get(wanted.name)
    if info is None:
        return
    spec = info.spec
    if spec.cleanup == wanted.cleanup and spec.retention_ms is None:
        return
    cleanup: str = spec.cleanup
    if spec.retention_ms is not None:
        cleanup += f" after {spec.retention_ms} ms"
    setting = "compact" if wanted.cleanup == "compact" else "delete and its retention.ms to -1"
    raise ConfigurationError(
        f"{log.name}: topic {wanted.name} was made with the cleanup {cleanup}: {loss}. Set its "
        f"cleanup.policy to {setting}"
    )
