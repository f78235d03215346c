"""The connector: what it offers, and the parts that it makes."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from bridge.connector import Capabilities, Finding, Shape, System, Writer, unsupported
from bridge.model.errors import Unsupported

from .client import Client
from .options import TicketdeskOptions
from .reads import TicketdeskReader, TicketdeskSnapshot
from .rows import shape_of
from .source import TicketdeskSource


class TicketdeskConnector:
    """`bridge.connector.Connector`. Stateless: one object serves every configured system."""

    name = "ticketdesk"
    options: type[BaseModel] = TicketdeskOptions

    def capabilities(self) -> Capabilities:
        """What the suite tests. What isn't declared here has to raise Unsupported."""
        return Capabilities(positions="assigned", deletes="reconciled", snapshot=True, read=True)

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """The columns of each table that the configuration names."""
        client = Client(system)
        try:
            return {use.table: shape_of(await client.table(use.table)) for use in system.tables}
        finally:
            await client.close()

    async def check(self, system: System) -> list[Finding]:
        """`bridgectl check`: add whatever is missing or dangerous, each with what corrects it."""
        await self.describe(system)
        return []

    async def setup(self, system: System) -> list[str]:
        """Ticketdesk needs nothing to be made in it."""
        return []

    def setup_sql(self, system: System) -> list[str]:
        """Nor is there anything to show."""
        return []

    async def source(self, system: System) -> TicketdeskSource:
        """Make the part that captures changes."""
        return TicketdeskSource(system, Client(system))

    async def snapshot(self, system: System) -> TicketdeskSnapshot:
        """Make the part that reads whole tables."""
        return TicketdeskSnapshot(Client(system))

    async def reader(self, system: System) -> TicketdeskReader:
        """Make the part that looks rows up."""
        return TicketdeskReader(Client(system))

    async def writer(self, system: System) -> Writer:
        """Commands: docs/connectors.md, "Writer", says what they need."""
        raise Unsupported(unsupported(self.name, "commands"))
