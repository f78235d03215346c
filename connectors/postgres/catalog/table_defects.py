"""Why changes of a table can't be streamed, by the table's own properties, and the fix. `check` knows
more (partitions, deferred indexes); this runs at every heartbeat, on what that reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.postgres import ddl
from connectors.postgres.catalog.tables import CatalogTable

KINDS = {"v": "a view", "m": "a materialised view", "f": "a foreign table"}


def is_logged(table: CatalogTable) -> bool:
    """Whether its changes are in the WAL."""
    return table.kind not in KINDS and table.persistence == "p"


def unlogged_text(table: CatalogTable) -> tuple[str, str]:
    """What to say of a table that isn't loggable, and the statement that fixes it, if there is one."""
    what = KINDS.get(table.kind, "unlogged or temporary")
    fix = f"ALTER TABLE {table.quoted} SET LOGGED" if table.persistence == "u" else ""
    problem = (
        f"table {table.configured!r} is {what}: its changes are not in the WAL, so they can't be "
        "captured"
    )
    return problem, fix


def unidentified_key_text(name: str, columns: Sequence[str]) -> str:
    """What to say of a table whose replica identity is missing columns of the key."""
    return (
        f"table {name!r}: the key column {', '.join(map(repr, columns))} is not part of its replica "
        "identity, so a delete wouldn't identify its row"
    )


def identity_defect(table: CatalogTable, key: Sequence[str]) -> str:
    """Why updates and deletes of a published table can't be streamed, and what fixes it; empty where
    they can. Of a partitioned table the partitions have the identity.
    """
    if table.kind != "r" or table.replica_identity == "f":
        return ""
    primary = {column.name for column in table.attributes if column.primary}
    by_setting = {
        "d": primary,
        "i": {column.name for column in table.attributes if column.identity},
    }
    identity = by_setting.get(table.replica_identity, set())
    fix = (
        ddl.identity_default(table.quoted)
        if primary and primary.issuperset(key)
        else ddl.identity_full(table.quoted)
    )
    if not identity:
        return (
            f"table {table.configured!r} has no replica identity: as long as it is published, the "
            f"legacy system's own updates and deletes of it fail; run: {fix}"
        )
    names = {column.name for column in table.attributes}
    missing = [name for name in key if name in names and name not in identity]
    if not missing:
        return ""
    return (
        f"{unidentified_key_text(table.configured, missing)}; deletes become dead letters: run "
        f"{fix}, then compare what they were about: bridgectl snapshot ENTITY --reconcile"
    )


def missing_grants(table: CatalogTable, role: str) -> list[str]:
    """The statements that give a role the rights to read a table that are missing."""
    needed: list[str] = []
    if not table.schema_granted:
        needed.append(ddl.grant_usage(table.schema, role))
    if not table.granted:
        needed.append(ddl.grant_select(table.quoted, role))
    if table.rows_hidden:
        needed.append(ddl.bypass_row_security(role))
    return needed
