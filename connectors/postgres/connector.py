"""The PostgreSQL connector. psycopg is imported only when one of its parts is asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from bridge.connector import (
    Capabilities,
    CommandRight,
    ConnectionUse,
    Finding,
    ReadCheckpoint,
    Reader,
    SetupPlan,
    Shape,
    Snapshot,
    Source,
    System,
    TransportRisk,
    Visibility,
    Writer,
)
from bridge.model.errors import ConfigurationError
from bridge.model.specs import CommandSpec
from connectors.postgres.options import PostgresOptions


class PostgresConnector:
    """Makes the parts that talk to one PostgreSQL database."""

    name = "postgres"
    options: type[BaseModel] = PostgresOptions

    def capabilities(self) -> Capabilities:
        """Every change in commit order; old rows where the table has REPLICA IDENTITY FULL."""
        return Capabilities(
            before="per_table",
            every_change=True,
            transactions=True,
            snapshot=True,
            truncate=True,
            visibility=True,
            markers=True,
            read=True,
            write=True,
            ledger=True,
        )

    def dump_visibility(self, visibility: Visibility) -> str:
        """The snapshot and the server's history as text."""
        from connectors.postgres.protocol.pg_snapshot import PgSnapshot, dump_seen

        if not isinstance(visibility, PgSnapshot):
            raise TypeError(f"not a visibility of PostgreSQL: {type(visibility).__name__}")
        return dump_seen(visibility)

    def load_visibility(self, text: str) -> Visibility:
        """The snapshot of `dump_visibility`."""
        from connectors.postgres.protocol.pg_snapshot import load_seen

        return load_seen(text)

    async def end_sessions(self, system: System) -> int:
        """By the sessions' names, with pg_terminate_backend, which a login may use on its own."""
        _need_psycopg(system)
        from connectors.postgres.transport.read_sessions import end_sessions

        return await end_sessions(system)

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """The tables' published columns."""
        _need_psycopg(system)
        from connectors.postgres.catalog.publication import describe

        return await describe(system)

    async def draft(self, system: System) -> str:
        """A system file of the tables in the login's default schema, or of those named."""
        _need_psycopg(system)
        from connectors.sql.schema.draft import draft

        return await draft(system, self.describe)

    async def check(self, system: System) -> list[Finding]:
        """Everything that is missing or dangerous, with the statement that fixes it."""
        _need_psycopg(system)
        from connectors.postgres.setup.check import check

        return await check(system)

    async def check_rights(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[CommandRight]:
        """As `bridge.connector.ChecksRights.check_rights`."""
        _need_psycopg(system)
        from connectors.postgres.capture_dialect import dialect_for
        from connectors.sql.write.command_rights import check_rights

        return await check_rights(system, dialect_for(system), commands)

    async def check_resuming(
        self, system: System, read_checkpoint: ReadCheckpoint
    ) -> list[Finding]:
        """Whether the slot still leads on from the log's checkpoint."""
        _need_psycopg(system)
        from connectors.postgres.setup.check import check_resuming

        return await check_resuming(system, read_checkpoint)

    def connection_uses(self, system: System) -> Sequence[ConnectionUse]:  # noqa: ARG002 - the port
        """As `bridge.connector.CountsConnections.connection_uses`."""
        return (
            ConnectionUse("capture", 5, "stream, control, snapshot, catalogue, deleted rows"),
            ConnectionUse("commands", 1, "effects"),
            ConnectionUse("catalogue", 1, "catalogue"),
        )

    async def connection_bound(self, system: System) -> tuple[int | None, str]:
        """As `bridge.connector.BoundsConnections.connection_bound`: the role's CONNECTION LIMIT."""
        _need_psycopg(system)
        from connectors.postgres.catalog.role_limit import connection_limit

        return await connection_limit(system)

    def check_transport(self, system: System) -> list[TransportRisk]:
        """As `bridge.connector.ChecksTransport.check_transport`."""
        _need_psycopg(system)
        from connectors.postgres.transport.tls_risks import transport_risks

        return list(transport_risks(system))

    async def setup(self, system: System) -> list[str]:
        """Make publication, slot and ledger, as far as they are missing."""
        _need_psycopg(system)
        from connectors.postgres.setup.apply import setup

        return await setup(system)

    def setup_sql(self, system: System) -> list[str]:
        """What `setup` runs on a database that has none of it."""
        from connectors.postgres.setup.apply import setup_sql

        return setup_sql(system)

    async def setup_plan(self, system: System, commands: Sequence[CommandSpec]) -> SetupPlan:
        """As `bridge.connector.PlansSetup.setup_plan`."""
        _need_psycopg(system)
        from connectors.postgres.setup.plan import setup_plan

        return await setup_plan(system, commands)

    async def source(self, system: System) -> Source:
        """A source that is not open yet."""
        _need_psycopg(system)
        from connectors.postgres.capture.source import PostgresSource

        return PostgresSource(system, time.time)

    async def snapshot(self, system: System) -> Snapshot:
        """A snapshot on a connection of its own."""
        _need_psycopg(system)
        from connectors.postgres.capture.snapshot import PostgresSnapshot

        return await PostgresSnapshot.open(system)

    async def reader(self, system: System) -> Reader:
        """Set-based lookups whose answers report which transactions they contain."""
        _need_psycopg(system)
        from connectors.postgres.capture_dialect import dialect_for
        from connectors.sql.read.reader import SqlReader

        return SqlReader(system, dialect_for(system))

    async def writer(self, system: System) -> Writer:
        """Commands, each at most once, with a marker that comes back with their changes."""
        _need_psycopg(system)
        from connectors.postgres.capture_dialect import dialect_for
        from connectors.sql.write.writer import SqlWriter

        return SqlWriter(system, dialect_for(system))


def _need_psycopg(system: System) -> None:
    try:
        import psycopg  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigurationError(
            f"system {system.name!r} uses the connector 'postgres', which needs psycopg: run "
            "pip install 'legacy-bridge[postgres]'"
        ) from error


connector = PostgresConnector()
