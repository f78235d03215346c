"""What a configured name leads to, however the publication holds it."""

from __future__ import annotations

import pytest

from connectors.postgres.capture.slot import load
from connectors.postgres.connector import connector
from tests.connectors.checkpoints import fixed_checkpoint
from tests.connectors.postgres.postgres_erp import PostgresErp, changes_of, open_source, read_to

TABLES = (
    "CREATE SCHEMA s",
    "CREATE TABLE s.t (id int PRIMARY KEY)",
    "CREATE TABLE s.p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
    "CREATE TABLE s.p1 PARTITION OF s.p FOR VALUES FROM (0) TO (10)",
)
PUBLICATIONS = {
    "tables": "FOR TABLE s.t, s.p WITH (publish_via_partition_root = true)",
    "schema": "FOR TABLES IN SCHEMA s WITH (publish_via_partition_root = true)",
    "all": "FOR ALL TABLES WITH (publish_via_partition_root = true)",
    "columns": "FOR TABLE s.t (id) WHERE (id > 0), s.p WITH (publish_via_partition_root = true)",
    # A partition that is configured itself is told through its root's entry.
    "root": "FOR TABLE s.t, s.p",
}


@pytest.mark.parametrize("how", PUBLICATIONS)
async def test_tables_are_found_in_every_kind_of_publication(erp: PostgresErp, how: str) -> None:
    erp.run(*TABLES, f"CREATE PUBLICATION bridge {PUBLICATIONS[how]}")
    second = "s.p1" if how == "root" else "s.p"
    system = erp.system("s.t", second)
    async with open_source(system) as (source, begin):
        bindings = load(begin).tables
        assert bindings.keys() == {"s.t", second}
        assert all(binding.table and binding.entry for binding in bindings.values())
        erp.run("INSERT INTO s.t VALUES (1)", "INSERT INTO s.p VALUES (2)")
        batches = await read_to(source, "end")
        assert {change.shape.table for change in changes_of(batches)} == {"s.t", second}
        assert all(not batch.troubles and not batch.stale for batch in batches)
        checkpoint = batches[-1].checkpoint
    assert load(checkpoint).tables == bindings
    await erp.idle()
    assert await connector.check_resuming(system, fixed_checkpoint(checkpoint)) == []
    erp.run("DROP TABLE s.t", "CREATE TABLE s.t (id int PRIMARY KEY)")
    if how not in {"schema", "all"}:
        erp.run("ALTER PUBLICATION bridge ADD TABLE s.t")
    [finding] = await connector.check_resuming(system, fixed_checkpoint(checkpoint))
    assert "'s.t' is another one than before" in finding.what
    assert not finding.fatal
    async with open_source(system, checkpoint) as (source, _):
        stale = [each for batch in await read_to(source, "end") for each in batch.stale]
    assert [each.tables for each in stale] == [("s.t",)]
