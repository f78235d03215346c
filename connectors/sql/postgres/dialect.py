"""What differs on PostgreSQL for reads and writes."""

from __future__ import annotations

from connectors.sql.dialect import Marker, SqlDialect
from connectors.sql.postgres.session_settings import SET_FOR_READS, SET_LOGINS_OWN


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
)
"""Visibility is the PostgreSQL connector's: `replace(POSTGRESQL, seen=VisibilityQuery(...))`."""
