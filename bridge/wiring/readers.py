"""Who reads a system: this process by its connector, or its gateway's process for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from bridge.config import Config, SystemConfig
from bridge.connector import Connector, Reader, SendsVisibility, System
from bridge.gateway.limits.admission_request import WorkClass
from bridge.model.specs import SystemLimits

if TYPE_CHECKING:
    from bridge.gateway.remote.address import GatewayAddress


def gateway_address(config: Config, system: SystemConfig) -> GatewayAddress | None:
    """Where the process that reads this system is asked; None: each process reads it itself."""
    section = system.gateway
    if section is None:
        return None
    from bridge.gateway.remote.address import GatewayAddress

    if section.host:
        return GatewayAddress(
            host=section.host, port=section.port, tls=section.tls, token=section.token.reveal()
        )
    folder = config.log.path.parent if config.log.path is not None else config.folder
    path = section.socket or folder / f"gateway-{system.spec.name}.sock"
    return GatewayAddress(path=str(path.absolute()))


class ReadingProcess(NamedTuple):
    """Who reads: its name, and for whom."""

    instance: str
    work: WorkClass


async def open_reader(
    config: Config, name: str, connector: Connector, system: System, process: ReadingProcess
) -> tuple[Reader, SystemLimits]:
    """A Reader of the system, and the limits within which this process has to keep.

    Over a gateway's process these are its own bounds per client: the system's limits hold there.
    Raises RetryLater while that process, or the system, is unavailable.
    """
    [section] = [each for each in config.systems if each.spec.name == name]
    address = gateway_address(config, section)
    if address is None:
        limits = replace(system.limits, connections=system.connections)
        return await connector.reader(system), limits
    from bridge.gateway.remote.messages import Registration
    from bridge.gateway.remote.remote_reader import RemoteReader

    reader = RemoteReader(
        Registration(config.bridge, name, address.token, process.instance),
        address,
        work=process.work,
        load_visibility=(
            connector.load_visibility if isinstance(connector, SendsVisibility) else None
        ),
    )
    try:
        owner = await reader.open()
    except BaseException:
        await reader.close()
        raise
    limits = SystemLimits(connections=owner.max_requests, max_rows=system.limits.max_rows)
    return reader, limits
