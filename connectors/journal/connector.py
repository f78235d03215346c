"""The journal connector: for databases that offer no change feed but allow triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from bridge.connector import (
    Capabilities,
    CommandRight,
    ConnectionUse,
    Finding,
    ReadCheckpoint,
    Reader,
    Shape,
    Snapshot,
    Source,
    System,
    Visibility,
    Writer,
)
from bridge.model.errors import ConfigurationError
from bridge.model.specs import CommandSpec
from connectors.journal.checkpoint import lost_text
from connectors.journal.dialects.choose import dialect_for
from connectors.journal.dialects.sqlite.tables import VisibleUpTo
from connectors.journal.resume_check import loss_since_checkpoint
from connectors.journal.setup import find_problems, needed_statements
from connectors.journal.short_engine import engine_for
from connectors.journal.source import JournalSource
from connectors.sql.read.reader import SqlReader
from connectors.sql.read.snapshot import SqlSnapshot
from connectors.sql.schema.draft import draft
from connectors.sql.schema.tables import describe
from connectors.sql.sqlite.connection import BEGIN_OPTION
from connectors.sql.write.command_rights import check_rights
from connectors.sql.write.writer import SqlWriter


class JournalOptions(BaseModel):
    """The `capture:` mapping of a system with this connector."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    poll_ms: int = Field(
        default=30, ge=5, le=60_000, description="How often to look for commits, in milliseconds."
    )
    purge_batch_rows: int = Field(
        default=2000,
        ge=1,
        le=1_000_000,
        description="Acknowledged journal rows deleted in one transaction, at most.",
    )
    purge_after_ms: int = Field(
        default=2000,
        ge=0,
        le=600_000,
        description="How long acknowledged rows may stay before they are deleted, in milliseconds.",
    )


class JournalConnector:
    """`bridge.connector.Connector`; registered as `journal`."""

    name = "journal"
    options: type[BaseModel] = JournalOptions

    def capabilities(self) -> Capabilities:
        """No transactions: SQLite's triggers don't see any. No TRUNCATE there either."""
        return Capabilities(
            before="full",
            every_change=True,
            snapshot=True,
            visibility=True,
            markers=True,
            read=True,
            write=True,
            ledger=True,
        )

    def connection_uses(self, system: System) -> Sequence[ConnectionUse]:  # noqa: ARG002 - the port
        """As `bridge.connector.CountsConnections.connection_uses`."""
        return (
            ConnectionUse("capture", 5, "entries, purge, snapshot, catalogue, deleted rows"),
            ConnectionUse("commands", 1, "effects"),
            ConnectionUse("catalogue", 1, "catalogue"),
        )

    def dump_visibility(self, visibility: Visibility) -> str:
        """The last number of the journal that was visible."""
        if not isinstance(visibility, VisibleUpTo):
            raise TypeError(f"not a visibility of the journal: {type(visibility).__name__}")
        return str(visibility.commit)

    def load_visibility(self, text: str) -> Visibility:
        """The visibility of `dump_visibility`."""
        return VisibleUpTo(int(text))

    async def describe(self, system: System) -> Mapping[str, Shape]:
        """As `bridge.connector.Connector.describe`."""

        def act() -> Mapping[str, Shape]:
            with engine_for(system) as engine:
                return describe(engine, system.tables, "full")

        return await asyncio.to_thread(act)

    async def draft(self, system: System) -> str:
        """A system file of all tables, or of those named."""
        return await draft(system, self.describe)

    async def check(self, system: System) -> list[Finding]:
        """As `bridge.connector.Connector.check`."""

        def act() -> list[Finding]:
            dialect = dialect_for(system)
            with engine_for(system) as engine, engine.connect() as connection:
                return find_problems(connection, system, dialect)

        return await asyncio.to_thread(act)

    async def check_rights(
        self, system: System, commands: Sequence[CommandSpec]
    ) -> list[CommandRight]:
        """As `bridge.connector.ChecksRights.check_rights`."""
        return await check_rights(system, dialect_for(system).sql, commands)

    async def check_resuming(
        self, system: System, read_checkpoint: ReadCheckpoint
    ) -> list[Finding]:
        """As `bridge.connector.ChecksResuming.check_resuming`."""
        reason = await loss_since_checkpoint(system, dialect_for(system), read_checkpoint)
        if reason is not None:
            # Capture may have begun in between.
            reason = await loss_since_checkpoint(system, dialect_for(system), read_checkpoint)
        restart_statement = dialect_for(system).restart_statement
        return [Finding(lost_text(system.name, reason, restart_statement))] if reason else []

    def setup_sql(self, system: System) -> list[str]:
        """As `bridge.connector.Connector.setup_sql`; empty when all is in place."""
        dialect = dialect_for(system)
        with engine_for(system) as engine, engine.connect() as connection:
            return needed_statements(connection, system, dialect)

    async def setup(self, system: System) -> list[str]:
        """As `bridge.connector.Connector.setup`, in one transaction: no change is missed."""
        dialect = dialect_for(system)

        def act() -> list[str]:
            with engine_for(system) as engine, engine.connect() as connection:
                writing = connection.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"})
                with writing.begin():
                    statements = needed_statements(writing, system, dialect)
                    for statement in statements:
                        writing.exec_driver_sql(statement)
                return statements

        return await asyncio.to_thread(act)

    async def source(self, system: System) -> Source:
        """A source on two connections of its own."""
        options = options_of(system)
        return JournalSource(
            system,
            dialect_for(system),
            poll_seconds=options.poll_ms / 1000,
            purge_batch_rows=options.purge_batch_rows,
            purge_after_seconds=options.purge_after_ms / 1000,
        )

    async def snapshot(self, system: System) -> Snapshot:
        """A snapshot whose chunks say which changes they contain."""
        return SqlSnapshot(system, dialect_for(system).sql)

    async def reader(self, system: System) -> Reader:
        """A reader whose results say which changes they contain: they ask the journal.

        Raises ConfigurationError while it isn't there.
        """
        dialect = dialect_for(system)

        def act() -> bool:
            with engine_for(system) as engine, engine.connect() as connection:
                return dialect.exists(connection)

        if not await asyncio.to_thread(act):
            raise ConfigurationError(
                f"journal of {system.name!r}: its tables and triggers are missing, by which "
                f"reads know how fresh they are; make them with `bridgectl setup {system.name}`"
            )
        return SqlReader(system, dialect.sql)

    async def writer(self, system: System) -> Writer:
        """A writer whose commands come back with the changes that they cause."""
        return SqlWriter(system, dialect_for(system).sql)


def options_of(system: System) -> JournalOptions:
    """The validated options; the defaults where the configuration has none."""
    if isinstance(system.options, JournalOptions):
        return system.options
    return JournalOptions.model_validate(system.options or {})


connector = JournalConnector()
