"""Sessions of a system's reads: ends those of owners before this one."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, LiteralString

import psycopg

from bridge.connector import System
from connectors.postgres.errors import translate_error
from connectors.postgres.transport.bounded_connection import BoundedConnection
from connectors.postgres.transport.copy_connection import connect
from connectors.sql.postgres.address import READS, application_name, labelled_prefix

END_TIMEOUT_S: Final = 5.0
"""How long sessions that are being ended are waited for."""
POLL_S: Final = 0.02

# Source: https://www.postgresql.org/docs/current/functions-admin.html (pg_terminate_backend: a role may
# end its own sessions and those of roles that it is a member of, others with pg_signal_backend).
_OTHERS: Final[LiteralString] = (
    "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND starts_with(application_name, %(prefix)s) AND application_name <> %(own)s"
)
_END: Final[LiteralString] = (
    "SELECT pg_terminate_backend(pid) " + _OTHERS + " AND pg_has_role(usesysid, 'MEMBER')"
)
_COUNT: Final[LiteralString] = "SELECT count(*) " + _OTHERS
_UNLABELLED: Final[LiteralString] = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = %(plain)s"
)


async def end_sessions(system: System) -> int:
    """As `bridge.connector.EndsSessions.end_sessions`; on one short connection."""
    connection = await connect(system, "succession")
    try:
        return await _end(connection, system)
    except psycopg.Error as error:
        raise translate_error(
            error, system, "cannot end the sessions of an earlier owner"
        ) from None
    finally:
        await connection.close()


async def _end(connection: BoundedConnection, system: System) -> int:
    names = {"prefix": labelled_prefix(system), "own": application_name(system, READS)}
    deadline = monotonic() + END_TIMEOUT_S
    while True:
        # Again each time: one may have been on its way in when the others were ended.
        await connection.execute(_END, names)
        left = await _count(connection, _COUNT, names)
        if not left or monotonic() >= deadline:
            break
        await asyncio.sleep(POLL_S)
    plain = f"legacy-bridge {system.bridge} {system.name} {READS}"[:63]
    return left + await _count(connection, _UNLABELLED, {"plain": plain})


async def _count(
    connection: BoundedConnection, statement: LiteralString, names: dict[str, str]
) -> int:
    cursor = await connection.execute(statement, names)
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
