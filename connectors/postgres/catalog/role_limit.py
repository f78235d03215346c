"""How many connections the server allows the role of `url`."""

from __future__ import annotations

import psycopg

from bridge.connector import System
from connectors.postgres.errors import translate_error
from connectors.postgres.transport.copy_connection import connect


async def connection_limit(system: System) -> tuple[int | None, str]:
    """The role's CONNECTION LIMIT (None: it has none), and the statement that sets one. It counts all
    sessions of the role in the cluster (https://www.postgresql.org/docs/current/sql-createrole.html).
    """
    connection = await connect(system, "check")
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(
                "SELECT rolconnlimit, quote_ident(rolname) FROM pg_roles WHERE rolname = session_user"
            )
            row = await cursor.fetchone()
    except psycopg.Error as error:
        raise translate_error(error, system, "cannot ask for the role's limit") from error
    finally:
        await connection.close()
    limit, role = row if row is not None else (-1, "ROLE")
    return (None if limit < 0 else limit), f"ALTER ROLE {role} CONNECTION LIMIT {{limit}};"
