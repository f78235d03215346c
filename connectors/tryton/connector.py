"""The Tryton connector: models as tables, buttons as commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from bridge.connector import (
    Capabilities,
    ConnectionUse,
    Finding,
    Reader,
    Shape,
    Snapshot,
    Source,
    StatementProblem,
    System,
    TransportRisk,
    Writer,
)
from bridge.model.errors import ConfigurationError
from bridge.model.specs import CommandSpec
from connectors.http.plain_login import plain_login
from connectors.tryton import check as checking
from connectors.tryton import draft
from connectors.tryton.capture.snapshot import TrytonSnapshot
from connectors.tryton.capture.source import TrytonSource
from connectors.tryton.commands.writer import TrytonWriter
from connectors.tryton.discovery import discover
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model_table import ModelTables
from connectors.tryton.options import TrytonLogin, TrytonOptions
from connectors.tryton.reader import TrytonReader


class TrytonConnector:
    """`bridge.connector.Connector`, with `LogsIn`, `Drafts`, `DescribesChangeDetection`,
    `ChecksCommands`.
    """

    name = "tryton"
    options: type[BaseModel] = TrytonOptions
    login: type[BaseModel] | None = TrytonLogin
    speaks_http = True

    def capabilities(self) -> Capabilities:
        """Polling sees neither old rows, nor every change, nor transactions."""
        return Capabilities(
            positions="assigned", deletes="per_table", snapshot=True, read=True, write=True
        )

    def connection_uses(self, system: System) -> Sequence[ConnectionUse]:  # noqa: ARG002 - the port
        """As `bridge.connector.CountsConnections.connection_uses`."""
        return (
            ConnectionUse("capture", 4, "polls, snapshot, models, deleted rows"),
            ConnectionUse("commands", 2, "effects, and reads before them"),
            ConnectionUse("catalogue", 1, "models"),
        )

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """As `bridge.connector.Connector.describe`."""
        async with TrytonClient(system) as client:
            await client.log_in()
            tables = ModelTables(system, client)
            shapes, problems = {}, []
            for use in system.tables:
                try:
                    shapes[use.table] = (await tables.table(use.table)).shape
                except ConfigurationError as error:
                    problems.append(str(error).removeprefix(f"system {system.name!r}: "))
        if problems:
            raise ConfigurationError(f"system {system.name!r}: {'; '.join(problems)}")
        return shapes

    async def check(self, system: System) -> list[Finding]:
        """As `bridge.connector.Connector.check`."""
        return await checking.check(system)

    def check_transport(self, system: System) -> list[TransportRisk]:
        """As `bridge.connector.ChecksTransport.check_transport`."""
        return list(plain_login(system.url, ("url",)))

    async def check_commands(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[StatementProblem]:
        """As `bridge.connector.ChecksCommands.check_commands`."""
        return await checking.check_commands(system, commands)

    async def describe_change_detection(self, system: System) -> Mapping[str, str]:
        """As `bridge.connector.DescribesChangeDetection.describe_change_detection`."""
        return await checking.describe_change_detection(system)

    async def draft(self, system: System) -> str:
        """As `bridge.connector.Drafts.draft`."""
        async with TrytonClient(system) as client:
            names = [use.table for use in system.tables]
            return draft.draft(await discover(client, names, f"system {system.name!r}"))

    async def setup(self, system: System) -> list[str]:  # noqa: ARG002 - a part of the port
        """Nothing to create: the ERP needs no set-up."""
        return []

    def setup_sql(self, system: System) -> list[str]:  # noqa: ARG002 - a part of the port
        """Nothing."""
        return []

    async def source(self, system: System) -> Source:
        """A source with a session of its own."""
        return TrytonSource(system)

    async def snapshot(self, system: System) -> Snapshot:
        """A snapshot with a session of its own."""
        return TrytonSnapshot(system)

    async def reader(self, system: System) -> Reader:
        """A reader with a session of its own."""
        return TrytonReader(system)

    async def writer(self, system: System) -> Writer:
        """A writer without a ledger: commands whose answer was lost are probed."""
        return TrytonWriter(system)


connector = TrytonConnector()
