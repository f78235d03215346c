"""What differs on PostgreSQL for reads and writes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from connectors.sql.dialect import Marker, SqlDialect
from connectors.sql.postgres.session_settings import SET_FOR_READS, SET_LOGINS_OWN

CANCEL_TIMEOUT_S = 5.0


def cancel_statement(connection: Any) -> None:
    """Ask the server to end the statement of a psycopg connection, over a connection of its own. May be
    called by another thread; the server ignores it if nothing runs.
    """
    import psycopg

    with suppress(
        psycopg.Error
    ):  # It can't be reached: neither can the statement's own connection.
        connection.cancel_safe(timeout=CANCEL_TIMEOUT_S)


def _postgres_array(native: str) -> str:
    """The array type to cast keys to: without length, which would cut them."""
    base = native.split("(", 1)[0].strip()
    rest = native.split(")", 1)[1] if ")" in native else ""
    named = f"{base}{rest}"
    return {"CHAR": "bpchar", "CHARACTER": "bpchar"}.get(named.upper(), named) + "[]"


POSTGRESQL = SqlDialect(
    name="postgresql",
    max_keys=5000,
    lookup="any",
    array_type=_postgres_array,
    for_update="FOR UPDATE",
    isolation="AUTOCOMMIT",
    marker=Marker(
        "SELECT pg_logical_emit_message(true, 'bridge.command', CAST(:id AS text))",
    ),
    position="(pg_current_wal_insert_lsn() - '0/0')::bigint",
    position_after=True,
    read_settings=SET_FOR_READS,
    own_settings=SET_LOGINS_OWN,
    casts=True,
    null_order=True,
    lateral=True,
    interrupt=cancel_statement,
)
"""Visibility is the PostgreSQL connector's: `replace(POSTGRESQL, seen=VisibilityQuery(...))`."""
