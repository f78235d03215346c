"""The OData connector: V4 and V2 services."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel

from bridge.connector import (
    Capabilities,
    CommandRight,
    ConnectionUse,
    Finding,
    PublishedLimits,
    Reader,
    Shape,
    Snapshot,
    Source,
    StatementProblem,
    System,
    TableUse,
    TransportRisk,
    Writer,
)
from bridge.model.errors import ConfigurationError
from bridge.model.specs import CommandSpec
from bridge.plan.steps import Wire
from connectors.odata import check as checking
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.capture.source import ODataSource
from connectors.odata.commands.writer import ODataWriter
from connectors.odata.draft import system_file
from connectors.odata.http.client import ODataClient
from connectors.odata.http.login import ODataLogin, transport_risks
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.protocol.entity_table import columns_of, entity_set_of
from connectors.odata.published_limits import published_limits


class ODataConnector:
    """`bridge.connector.Connector`, `LogsIn`, `Drafts`, `DescribesChangeDetection` and `ChecksCommands`;
    registered as `odata`.
    """

    name = "odata"
    options: type[BaseModel] = ODataOptions
    login: type[BaseModel] | None = ODataLogin
    speaks_http = True

    def capabilities(self) -> Capabilities:
        """A service shows the state of rows, not their history."""
        return Capabilities(
            before="none",
            every_change=False,
            transactions=False,
            positions="assigned",
            deletes="per_table",
            snapshot=True,
            read=True,
            write=True,
        )

    def connection_uses(self, system: System) -> Sequence[ConnectionUse]:  # noqa: ARG002 - the port
        """As `bridge.connector.CountsConnections.connection_uses`."""
        return (
            ConnectionUse("capture", 4, "polls, snapshot, metadata, deleted rows"),
            ConnectionUse("commands", 1, "effects"),
            ConnectionUse("catalogue", 1, "metadata"),
        )

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """As `bridge.connector.Connector.describe`: every property that the log can hold."""
        client = ODataClient(system)
        try:
            service = await client.metadata()
        finally:
            await client.close()
        shapes, problems = {}, []
        for use in system.tables:
            try:
                entity_set = entity_set_of(service, use.table)
            except ConfigurationError as error:
                problems.append(str(error))
            else:
                columns = columns_of(entity_set, service.version)
                shapes[use.table] = Shape(use.table, columns, Wire.PYTHON)
        if problems:
            raise ConfigurationError(f"system {system.name!r}: {'; '.join(problems)}")
        return shapes

    async def check(self, system: System) -> list[Finding]:
        """As `bridge.connector.Connector.check`."""
        return await checking.check(system)

    def published_limits(self, system: System) -> PublishedLimits | None:
        """As `bridge.connector.PublishesLimits.published_limits`."""
        return published_limits(system)

    def check_transport(self, system: System) -> list[TransportRisk]:
        """As `bridge.connector.ChecksTransport.check_transport`."""
        return list(transport_risks(system))

    async def check_commands(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[StatementProblem]:
        """As `bridge.connector.ChecksCommands.check_commands`."""
        return await checking.check_commands(system, commands)

    async def check_rights(
        self,
        system: System,  # noqa: ARG002 - a part of the port
        commands: Sequence[CommandSpec],
    ) -> list[CommandRight]:
        """As `bridge.connector.ChecksRights.check_rights`: OData can't be asked for them."""
        what = "OData has no request for the rights of a login"
        return [CommandRight(spec.name, "unasked", what) for spec in commands]

    async def describe_change_detection(self, system: System) -> Mapping[str, str]:
        """As `bridge.connector.DescribesChangeDetection.describe_change_detection`."""
        return await checking.describe_change_detection(system)

    async def draft(self, system: System) -> str:
        """As `bridge.connector.Drafts.draft`."""
        client = ODataClient(system)
        wanted = [use.table for use in system.tables]
        try:
            service = await client.metadata()
            for name in wanted:
                entity_set_of(service, name)
            tables = tuple(TableUse(name) for name in wanted or service.sets)
            whole = replace(system, tables=tables)
            refused = await checking.unreadable_tables(client, service, whole)
            readable = tuple(use for use in tables if use.table not in refused)
            finer = await checking.finer_times(client, service, replace(whole, tables=readable))
        finally:
            await client.close()
        return system_file.draft(service, wanted, refused, finer)

    def setup_sql(self, system: System) -> list[str]:  # noqa: ARG002 - a part of the port
        """Nothing: a service needs no set-up for this."""
        return []

    async def setup(self, system: System) -> list[str]:  # noqa: ARG002 - a part of the port
        """Nothing."""
        return []

    async def source(self, system: System) -> Source:
        """A source that polls."""
        return ODataSource(system)

    async def snapshot(self, system: System) -> Snapshot:
        """A snapshot by keyset paging."""
        return ODataSnapshot(system)

    async def reader(self, system: System) -> Reader:
        """A reader whose answers claim a time, not a position."""
        return ODataReader(system)

    async def writer(self, system: System) -> Writer:
        """A writer without a ledger: it probes for lost answers."""
        return ODataWriter(system)


connector = ODataConnector()
