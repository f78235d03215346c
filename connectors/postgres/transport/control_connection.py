"""The source's second connection: watermarks, heartbeats, the slot's state, the catalogue.

A server that hangs blocks nothing for long: after `answer_timeout` the connection is closed, and
RetryLater names the request.

Logical messages need no table and no grant. What is written in a transaction with an id is
flushed at once; without one it waits for the WAL writer (up to 200 ms).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg

from bridge.connector import System
from bridge.model.errors import BridgeError, ConfigurationError, HistoryLost, RetryLater
from connectors.postgres import ddl
from connectors.postgres.capture.slot import (
    PLUGIN,
    SLOT_COLUMNS,
    ReplicationSlot,
    ServerIdentity,
    SlotCheckpoint,
    lsn_number,
    lsn_text,
    recovery_options,
    slot_of,
)
from connectors.postgres.catalog.table_defects import identity_defect, is_logged
from connectors.postgres.catalog.tables import Catalog, CatalogTable
from connectors.postgres.errors import translate_error
from connectors.postgres.protocol.frames import HEARTBEAT, WATERMARK
from connectors.postgres.transport.bounded_connection import BoundedConnection
from connectors.postgres.transport.copy_connection import connect

_NOT_USABLE = ("55000", "58P01")  # invalidated slot; WAL segment removed
_DUPLICATE_OBJECT = "42710"
_CANCELED = "57014"
#: Seconds that making a slot waits for running transactions before it says so.
_SLOT_CREATION_TIMEOUT_S = 60


class ControlConnection:
    """One autocommit connection, shared by the source's tasks."""

    def __init__(self, connection: BoundedConnection, system: System) -> None:
        self.connection = connection
        self._system = system
        self._lock = asyncio.Lock()
        self.catalog = Catalog(connection)
        #: End of the server's WAL when it was last asked.
        self.wal_end = 0

    @classmethod
    async def open(cls, system: System) -> ControlConnection:
        """Connect. An unavailable synchronous standby must not stop watermarks."""
        connection = await connect(system, "side")
        side = cls(connection, system)
        try:
            await side._run("SET synchronous_commit = local", doing="cannot set up the session")
        except BaseException:
            await connection.close()
            raise
        return side

    async def server(self) -> ServerIdentity:
        """Which server this is and where its WAL ends."""
        [row] = await self._run(
            "SELECT c.system_identifier::text, pg_current_wal_flush_lsn()::text,"
            " current_database(), s.setting::int8 / 1000.0::float8"
            " FROM pg_control_system() c, pg_settings s WHERE s.name = 'wal_sender_timeout'",
            doing="cannot ask for the end of the WAL",
        )
        self.wal_end = lsn_number(row[1])
        return ServerIdentity(row[0], self.wal_end, row[2], row[3])

    async def slot(self, name: str) -> ReplicationSlot | None:
        """The slot's current state; None if it doesn't exist."""
        rows = await self._run(
            f"SELECT {SLOT_COLUMNS} FROM pg_replication_slots s WHERE s.slot_name = %s",
            [name],
            doing="cannot read pg_replication_slots",
        )
        return slot_of(rows[0]) if rows else None

    async def covers(self, publication: str, tables: Sequence[CatalogTable]) -> None:
        """Raises ConfigurationError unless the publication exists and sends every operation: the stream
        would end, or be silent. A table that isn't in it is unavailable by itself.
        """
        rows = await self._run(
            "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication"
            " WHERE pubname = %s",
            [publication],
            doing="cannot read the publication",
        )
        if not rows:
            wrong = "does not exist"
            fit = [t.quoted for t in tables if is_logged(t) and not identity_defect(t, ())]
            fix = f", or: {ddl.create_publication(publication, fit)}" if fit else ""
        elif not rows[0][0]:
            wrong = "leaves out some of inserts, updates, deletes and truncates"
            fix = f", or: {ddl.publish_all_operations(publication)}"
        else:
            return
        raise ConfigurationError(
            f"system {self._system.name!r}: publication {publication!r} {wrong}: run "
            f"`bridgectl setup {self._system.name}`{fix}; then start `bridgectl run` again. What it "
            "did not send meanwhile `bridgectl snapshot ENTITY --reconcile` finds"
        )

    async def slot_before_publication(self, slot: str, publication: str) -> HistoryLost | None:
        """After the server said of a stream that something doesn't exist. The server decodes a change
        with the catalogue as it was then, so a publication that was dropped and created again does not
        help an older slot: it would always be refused. None: the slot doesn't exist.
        """
        rows = await self._run(
            "SELECT 1 FROM pg_publication WHERE pubname = %s",
            [publication],
            doing="cannot read the publication",
        )
        if not rows:
            return None
        system = self._system.name
        return HistoryLost(
            f"system {system!r}: replication slot {slot!r} stands where publication {publication!r} "
            "did not exist: the one that is there was made later, and the server can't decode the "
            f"changes that lie between. {recovery_options(system, slot)}"
        )

    async def create_slot(self, name: str) -> None:
        """Make the slot, which waits for the transactions that are running now to end.

        Raises RetryLater when one of them takes long: trying again waits for it again.
        """
        limit = self.connection.limit or 0
        try:
            await self._run(
                "SELECT set_config('statement_timeout', %s, false)",
                [f"{_SLOT_CREATION_TIMEOUT_S}s"],
                doing="cannot set up the session",
            )
            self.connection.limit = limit + _SLOT_CREATION_TIMEOUT_S
            await self._run(
                "SELECT pg_create_logical_replication_slot(%s, %s)",
                [name, PLUGIN],
                doing=f"cannot create replication slot {name!r}",
            )
        except BridgeError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state == _CANCELED:
                raise RetryLater(
                    f"system {self._system.name!r}: replication slot {name!r} can be made when the "
                    "transactions that run now have ended; one has not for "
                    f"{_SLOT_CREATION_TIMEOUT_S} s: see SELECT pid, xact_start, query FROM pg_stat_activity ORDER "
                    "BY xact_start"
                ) from None
            if state != _DUPLICATE_OBJECT:
                raise
        finally:
            self.connection.limit = limit
            if not self.connection.closed:
                await self._run(
                    "SELECT set_config('statement_timeout', '0', false)",
                    doing="cannot set up the session",
                )

    async def watermark(self, name: str) -> None:
        """Write a watermark that the stream has in commit order, and flush it."""
        await self._run(
            "SELECT pg_logical_emit_message(false, %s, %s), pg_current_xact_id()",
            [WATERMARK, name],
            doing="cannot write a watermark",
        )

    async def heartbeat(self) -> None:
        """Write something into the WAL, so that a quiet database's slot moves on."""
        [row] = await self._run(
            "SELECT pg_logical_emit_message(false, %s, ''), pg_current_wal_flush_lsn()::text",
            [HEARTBEAT],
            doing="cannot write a heartbeat",
        )
        self.wal_end = lsn_number(row[1])

    def refused(self, error: psycopg.Error, slot: str, begin: SlotCheckpoint) -> BridgeError:
        """What the server's refusal to start replication means."""
        if error.sqlstate in _NOT_USABLE:
            return HistoryLost(
                f"system {self._system.name!r}: replication slot {slot!r} cannot begin at the "
                f"checkpoint {lsn_text(begin.lsn)} (the server's WAL ends at "
                f"{lsn_text(self.wal_end)}): {error}. {recovery_options(self._system.name, slot)}"
            )
        return translate_error(error, self._system, f"cannot start replication from slot {slot!r}")

    async def close(self) -> None:
        """Never raises for a lost connection. Doesn't wait for requests under way."""
        self.connection.cut()
        await self.connection.close()

    async def _run(
        self, statement: LiteralString, values: list[Any] | None = None, *, doing: str
    ) -> list[tuple[Any, ...]]:
        async with self._lock:
            try:
                cursor = await self.connection.execute(statement, values)
                return await cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                raise translate_error(error, self._system, doing) from error
