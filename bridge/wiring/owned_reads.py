"""The part of a process that reads one system for all others, while it holds the system's lease."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from bridge.closing import close_all
from bridge.connector import EndsSessions, ReadSessions, SendsVisibility, System
from bridge.gateway.limiter import Limiter
from bridge.gateway.remote.lease_holder import LeaseHolder, LeaseTerms
from bridge.gateway.remote.served_system import ServedSystem
from bridge.gateway.remote.server import ReadServer
from bridge.model.errors import ConfigurationError, Fenced, RetryLater
from bridge.observe import ReadsOwned
from bridge.wiring.gateway_reports import GatewaySection
from bridge.wiring.readers import gateway_address

if TYPE_CHECKING:
    from bridge.wiring.bridge import Bridge

T = TypeVar("T")
MAX_CLIENTS_SHOWN = 20


def usable_connections(limit: int, left: int) -> int:
    """How many connections a new owner may open beside those of others that are left. Pure.

    Raises RetryLater if there are none.
    """
    if left >= limit:
        raise RetryLater(
            f"{left} sessions of other processes' reads are open, and {limit} are allowed: end these "
            "processes, or the sessions, in the system"
        )
    return limit - left


class OwnedReads:
    """Waits until nobody owns the system's reads, then owns them until it is stopped or succeeded.

    A new owner first ends the sessions of the one before it, which may be frozen, then opens its own;
    those that it can't end are counted against its limit.
    """

    def __init__(self, bridge: Bridge, name: str, instance: str) -> None:
        config = bridge.systems[name]
        address = gateway_address(bridge.config, config)
        if address is None or config.gateway is None:
            raise ConfigurationError(f"system {name!r} has no `gateway:` in its file")
        self._bridge = bridge
        self._name = name
        self._address = address
        self._instance = instance
        terms = LeaseTerms(bridge.name, name, instance, str(address), config.gateway.lease_s)
        self._lease = LeaseHolder(bridge.log, terms)
        self._server: ReadServer | None = None
        self._left = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Return once `stop` is set. Raises RetryLater when the lease is lost, the system or the log
        is unavailable, or sessions of others leave no room: call it again on a new object.
        """
        reports = self._bridge.group_reports.gateways
        with reports.section(self._name, "owner", self._section):
            try:
                if await _unless_stopped(stop, self._lease.acquire) is not None:
                    await self._serve(stop)
            except Fenced:
                raise RetryLater(
                    f"another process has taken over the reads of system {self._name!r}; this one "
                    "waits until it is gone"
                ) from None
            finally:
                await self._lease.release()

    async def _serve(self, stop: asyncio.Event) -> None:
        """Renew the lease from its beginning: what follows may take long."""
        keeping = asyncio.ensure_future(self._lease.keep())
        answering = asyncio.ensure_future(self._answer_clients(stop))
        try:
            await asyncio.wait({keeping, answering}, return_when=asyncio.FIRST_COMPLETED)
            for task in (keeping, answering):
                if task.done():
                    task.result()
        finally:
            keeping.cancel()
            answering.cancel()
            await asyncio.gather(keeping, answering, return_exceptions=True)

    async def _answer_clients(self, stop: asyncio.Event) -> None:
        bridge = self._bridge
        connector, system = bridge.system(self._name)
        label = f"g{self._lease.generation}-{secrets.token_hex(3)}"
        system = replace(system, read_sessions=ReadSessions(label, self._lease.check))
        if isinstance(connector, EndsSessions):
            self._left = await connector.end_sessions(system)
        limits = replace(
            system.limits, connections=usable_connections(system.connections, self._left)
        )
        reader = await connector.reader(system)
        served = ServedSystem(
            bridge.name,
            self._name,
            reader,
            Limiter(limits, system=self._name, observer=bridge.observer),
            _tables_of(system),
            self._instance,
            self._lease.generation,
            connector.dump_visibility if isinstance(connector, SendsVisibility) else None,
            self._lease.check,
        )
        server = ReadServer(served, self._address)
        try:
            await server.open()
            self._server = server
            bridge.observer(
                ReadsOwned(
                    self._name, str(self._address), self._lease.generation, limits.connections
                )
            )
            await stop.wait()
        finally:
            self._server = None
            await close_all(server.close, reader.close)

    def _section(self) -> GatewaySection:
        """What `bridgectl status` shows."""
        server, owner = self._server, self._lease.owner
        if server is None:
            if owner is None or owner.released or owner.instance == self._instance:
                return GatewaySection("begins to own the reads", {"role": "starting"})
            what = f"stands by for {owner.instance}, which owns the reads (generation {owner.generation})"
            return GatewaySection(what, {"role": "standby", "generation": owner.generation})
        clients = server.clients
        summary = (
            f"owns the reads at {self._address} (generation {self._lease.generation}); "
            f"clients: {len(clients)}, open questions: {server.requests}"
        )
        if self._left:
            summary += f"; sessions of others, counted against its limit: {self._left}"
        return GatewaySection(
            summary,
            {
                "role": "owner",
                "generation": self._lease.generation,
                "address": str(self._address),
                "clients": len(clients),
                "client_names": clients[:MAX_CLIENTS_SHOWN],
                "requests": server.requests,
                "dismissed": server.dismissed,
                "foreign_sessions": self._left,
            },
        )


def _tables_of(system: System) -> frozenset[str]:
    return frozenset(use.table for use in system.tables)


async def _unless_stopped(stop: asyncio.Event, act: Callable[[], Awaitable[T]]) -> T | None:
    """What `act` returns; None if `stop` is set first."""
    acting = asyncio.ensure_future(act())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({acting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return acting.result() if acting.done() else None
    finally:
        for task in (acting, stopping):
            task.cancel()
        await asyncio.gather(acting, stopping, return_exceptions=True)
