"""The SQL that creates and fixes what capture needs. Pure; shown to people and run by `setup`."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.postgres.capture.slot import PLUGIN
from connectors.postgres.catalog.tables import literal, quote

OPERATIONS = "insert, update, delete, truncate"


def create_publication(name: str, tables: Sequence[str]) -> str:
    """A publication of exactly these (quoted) tables."""
    return (
        f"CREATE PUBLICATION {quote(name)} FOR TABLE {', '.join(tables)} "
        f"WITH (publish = '{OPERATIONS}', publish_via_partition_root = true)"
    )


def add_table(publication: str, table: str) -> str:
    return f"ALTER PUBLICATION {quote(publication)} ADD TABLE {table}"


def publish_all_operations(publication: str) -> str:
    return f"ALTER PUBLICATION {quote(publication)} SET (publish = '{OPERATIONS}')"


def publish_via_root(publication: str) -> str:
    return f"ALTER PUBLICATION {quote(publication)} SET (publish_via_partition_root = true)"


def publish_whole(publication: str, table: str) -> str:
    """Every column and row of a table that is published in part."""
    name = quote(publication)
    return (
        f"ALTER PUBLICATION {name} DROP TABLE {table}; ALTER PUBLICATION {name} ADD TABLE {table}"
    )


def list_tables(publication: str, tables: Sequence[str]) -> str:
    """A publication of everything made one of these tables."""
    return f"DROP PUBLICATION {quote(publication)}; {create_publication(publication, tables)}"


def create_slot(name: str) -> str:
    return f"SELECT pg_create_logical_replication_slot({literal(name)}, {literal(PLUGIN)})"


def drop_slot(name: str) -> str:
    return f"SELECT pg_drop_replication_slot({literal(name)})"


def identity_full(table: str) -> str:
    return f"ALTER TABLE {table} REPLICA IDENTITY FULL"


def identity_default(table: str) -> str:
    return f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT"


def identity_index(table: str, index: str) -> str:
    return f"ALTER TABLE {table} REPLICA IDENTITY USING INDEX {quote(index)}"


def grant_select(table: str, role: str) -> str:
    return f"GRANT SELECT ON {table} TO {quote(role)}"


def grant_usage(schema: str, role: str) -> str:
    return f"GRANT USAGE ON SCHEMA {quote(schema)} TO {quote(role)}"


def bypass_row_security(role: str) -> str:
    return f"ALTER ROLE {quote(role)} BYPASSRLS"


def grant_ledger(table: str, role: str) -> str:
    return f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {quote(role)}"


def allow_replication(role: str) -> str:
    return f"ALTER ROLE {quote(role)} REPLICATION"


def set_system(name: str, value: str, *, restart: bool) -> str:
    then = "-- then restart the server" if restart else "SELECT pg_reload_conf()"
    return f"ALTER SYSTEM SET {name} = {literal(value)}; {then}"
