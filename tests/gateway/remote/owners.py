"""An owner of one system in this process, and clients of it, over a socket of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bridge.connector import Ask, Reader, Rows
from bridge.gateway.limiter import Limiter
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.remote.address import GatewayAddress
from bridge.gateway.remote.messages import Registration
from bridge.gateway.remote.remote_reader import RemoteReader
from bridge.gateway.remote.served_system import ServedSystem
from bridge.gateway.remote.server import ReadServer
from bridge.gateway.remote.server_connection import ServerLimits
from bridge.model.specs import SystemLimits
from tests.gateway.memory_reader import MemoryReader, shape_of

CUSTOMERS = [{"ID": str(number), "NAME": f"customer {number}"} for number in range(1, 11)]


class ShapedReader(MemoryReader):
    """As a connector's: one Shape for as long as the columns stay."""

    async def fetch(self, ask: Ask) -> Rows:
        rows = await super().fetch(ask)
        last = self.__dict__.setdefault("shapes", {}).setdefault(ask.table, rows.shape)
        if last.columns != rows.shape.columns:
            last = self.__dict__["shapes"][ask.table] = rows.shape
        rows.shape = last
        return rows


def customers(**options: Any) -> ShapedReader:
    return ShapedReader({"CUSTOMER": CUSTOMERS}, **options)


@asynccontextmanager
async def owner_of(
    reader: Reader,
    *,
    limits: ServerLimits | None = None,
    system_limits: SystemLimits | None = None,
    address: GatewayAddress | None = None,
    users: frozenset[int] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[ReadServer, Callable[..., RemoteReader]]]:
    """A running owner, and what makes clients of it, all of which are closed at the end."""
    clients: list[RemoteReader] = []
    with TemporaryDirectory() as folder:
        where = address or GatewayAddress(path=str(Path(folder) / "erp.sock"))
        limiter = Limiter(system_limits or SystemLimits(connections=100))
        tables = frozenset({"CUSTOMER", "ORDERS"})
        served = ServedSystem("acme", "erp", reader, limiter, tables, "owner-1", 7, **options)
        server = ReadServer(served, where, limits, users=users)

        def client(
            registration: Registration | None = None,
            work: WorkClass = WorkClass.AGENTS,
            at: GatewayAddress | None = None,
            **more: Any,
        ) -> RemoteReader:
            clients.append(
                RemoteReader(
                    registration or Registration("acme", "erp", where.token, "client-1"),
                    at or where,
                    work=work,
                    **more,
                )
            )
            return clients[-1]

        await server.open()
        try:
            yield server, client
        finally:
            for each in clients:
                await each.close()
            await server.close(leaving_s=0.0)


def by_ids(*ids: str, deadline: float | None = None) -> Ask:
    return Ask("CUSTOMER", ("ID",), [(each,) for each in ids], deadline=deadline)


__all__ = ["CUSTOMERS", "by_ids", "customers", "owner_of", "shape_of"]
