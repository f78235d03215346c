"""What `check` finds, each with the statement that fixes it: running that makes it go away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.connector import Ask, Finding, System, TableUse
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.postgres import connector
from connectors.postgres.setup.replica_identity import filter_columns
from tests.connectors.postgres.postgres_erp import PostgresErp, collect, open_source, row

UNLIMITED = "max_slot_wal_keep_size"
PARTITIONED = "is partitioned"


async def findings(system: System) -> list[Finding]:
    """Less the warnings that the test server, and every partitioned table, earn."""
    findings_of_system = await connector.check(system)
    earned = (UNLIMITED, PARTITIONED)
    return [each for each in findings_of_system if not any(words in each.what for words in earned)]


async def only(system: System) -> Finding:
    remaining = await findings(system)
    assert len(remaining) == 1, remaining
    return remaining[0]


async def mends(erp: PostgresErp, finding: Finding, system: System) -> None:
    """Run the statement as the superuser; then nothing is left."""
    erp.run(*filter(None, (part.strip() for part in finding.fix.split(";"))))
    assert await findings(system) == []


@pytest.fixture
def ready(erp: PostgresErp) -> PostgresErp:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, s text)")
    erp.publish("t")
    erp.run(f"SELECT pg_create_logical_replication_slot('{erp.slot}', 'pgoutput')")
    return erp


async def test_a_system_that_is_set_up_has_no_findings(ready: PostgresErp) -> None:
    assert await findings(ready.system("t")) == []


async def test_an_unlimited_slot_is_a_warning(ready: PostgresErp) -> None:
    [finding] = await connector.check(ready.system("t"))
    assert UNLIMITED in finding.what
    assert not finding.fatal
    assert finding.fix.startswith("ALTER SYSTEM SET max_slot_wal_keep_size")


async def test_setting_up_makes_what_is_missing_once_and_capture_then_works(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    system = erp.system("a", "b", commands=True)
    planned = connector.setup_sql(system)
    ran = await connector.setup(system)
    assert [statement.split()[:2] for statement in ran] == [
        statement.split()[:2] for statement in planned
    ]
    assert len(ran) == 3
    assert await connector.setup(system) == []
    assert await findings(system) == []
    async with open_source(system) as (source, _):
        erp.run("INSERT INTO b VALUES (1)")
        [change] = await collect(source, 1)
    assert row(change.shape, change.new) == {"id": 1}


async def test_setting_up_adds_a_table_to_the_publication_and_leaves_the_others(
    ready: PostgresErp,
) -> None:
    ready.run('CREATE TABLE "Odd Name" (id int PRIMARY KEY)')
    system = ready.system("t", "Odd Name")
    assert await connector.setup(system) == [
        'ALTER PUBLICATION "bridge" ADD TABLE "public"."Odd Name"'
    ]
    assert await findings(system) == []


async def test_a_table_without_identity_is_never_published(ready: PostgresErp) -> None:
    ready.run("CREATE TABLE bare (n int)")
    system = ready.system("t", "bare")
    with pytest.raises(ConfigurationError, match="no primary key"):
        await connector.setup(system)
    published = ready.rows("SELECT tablename FROM pg_publication_tables WHERE pubname = 'bridge'")
    assert published == [("t",)]
    ready.run("INSERT INTO bare VALUES (1)", "UPDATE bare SET n = 2")


@pytest.mark.parametrize(
    ("prepare", "words", "fix"),
    [
        (
            ["DROP PUBLICATION bridge"],
            "publication 'bridge' does not exist",
            'CREATE PUBLICATION "bridge" FOR TABLE "public"."t"',
        ),
        (
            ["ALTER PUBLICATION bridge DROP TABLE t"],
            "table 't' is not in publication",
            'ALTER PUBLICATION "bridge" ADD TABLE "public"."t"',
        ),
        (
            ["ALTER PUBLICATION bridge SET (publish = 'insert, update')"],
            "leaves out operations",
            'ALTER PUBLICATION "bridge" SET (publish = ',
        ),
        (
            ["ALTER TABLE t REPLICA IDENTITY NOTHING"],
            "REPLICA IDENTITY NOTHING: its updates and deletes fail",
            'ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT',
        ),
        (
            ["ALTER PUBLICATION bridge SET TABLE t (s)"],
            "without 'id' of its replica identity",
            'ALTER PUBLICATION "bridge" DROP TABLE "public"."t"; ',
        ),
        (
            ["ALTER PUBLICATION bridge SET TABLE t WHERE (s <> 'id')"],
            "filters 't' by 's'",
            'ALTER PUBLICATION "bridge" DROP TABLE "public"."t"; ',
        ),
        (
            ["DROP PUBLICATION bridge", "CREATE PUBLICATION bridge FOR ALL TABLES"],
            "FOR ALL TABLES",
            'DROP PUBLICATION "bridge"; CREATE PUBLICATION "bridge" FOR TABLE "public"."t"',
        ),
        (
            ["SELECT pg_drop_replication_slot('{slot}')"],
            "does not exist; it is created when capture first starts",
            "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')",
        ),
        (["ALTER TABLE t SET UNLOGGED"], None, None),
    ],
)
async def test_each_finding_goes_away_with_its_own_statement(
    ready: PostgresErp, prepare: list[str], words: str | None, fix: str | None
) -> None:
    if words is None or fix is None:
        ready.run("ALTER PUBLICATION bridge DROP TABLE t", *prepare)
        system = ready.system("t")
        [finding] = [finding for finding in await findings(system) if "unlogged" in finding.what]
        assert finding.fix == 'ALTER TABLE "public"."t" SET LOGGED'
        return
    ready.run(*(statement.format(slot=ready.slot) for statement in prepare))
    system = ready.system("t")
    finding = await only(system)
    assert words in finding.what
    assert finding.fix.startswith(fix.format(slot=ready.slot))
    await mends(ready, finding, system)


async def test_a_table_that_already_breaks_updates_says_so(erp: PostgresErp) -> None:
    erp.run("CREATE TABLE t (id int NOT NULL UNIQUE, s text)")
    erp.publish("t")
    erp.run(f"SELECT pg_create_logical_replication_slot('{erp.slot}', 'pgoutput')")
    system = erp.system(TableUse("t", ("id",)))
    finding = await only(system)
    assert "its updates and deletes fail as long as it is published" in finding.what
    assert finding.fix == 'ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "t_id_key"'
    await mends(erp, finding, system)


async def test_a_partition_without_identity_is_found_under_its_root(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE PUBLICATION bridge FOR TABLE p",
        f"SELECT pg_create_logical_replication_slot('{erp.slot}', 'pgoutput')",
    )
    system = erp.system("p")
    finding = await only(system)
    assert "under the partitions' names" in finding.what
    await mends(erp, finding, system)
    erp.run("ALTER TABLE p1 REPLICA IDENTITY NOTHING")
    finding = await only(system)
    assert 'partition "public"."p1"' in finding.what
    await mends(erp, finding, system)


async def test_what_a_partitioned_table_does_not_tell_is_said(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
    )
    erp.publish("p")
    all_findings = await connector.check(erp.system("p"))
    [finding] = [each for each in all_findings if PARTITIONED in each.what]
    assert not finding.fatal
    assert "--reconcile" in finding.what


async def test_a_table_that_others_inherit_from_says_what_is_not_its_own(
    erp: PostgresErp,
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE far () INHERITS (t)")
    erp.publish("t")
    all_findings = await connector.check(erp.system("t"))
    [finding] = [each for each in all_findings if "inherit from 't'" in each.what]
    assert not finding.fatal


async def test_a_declared_key_must_be_unique_and_told_with_deletes(ready: PostgresErp) -> None:
    system = ready.system(TableUse("t", ("s",)))
    nullable, deletes_finding, unique = await findings(system)
    assert "'s' of table 't' may be null" in nullable.what
    assert not nullable.fatal
    assert "'s' is not part of its replica identity" in deletes_finding.what
    assert "nothing keeps the key (s)" in unique.what
    ready.run(nullable.fix, deletes_finding.fix, unique.fix)
    assert await findings(system) == []


async def test_a_primary_key_must_be_told_with_deletes_too(ready: PostgresErp) -> None:
    ready.run(
        "ALTER TABLE t ALTER s SET NOT NULL, ADD UNIQUE (s)",
        "ALTER TABLE t REPLICA IDENTITY USING INDEX t_s_key",
    )
    system = ready.system("t")
    finding = await only(system)
    assert "'id' is not part of its replica identity" in finding.what
    assert finding.fix == 'ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT'
    await mends(ready, finding, system)


async def test_columns_that_are_missing_or_generated_are_named(ready: PostgresErp) -> None:
    ready.run("ALTER TABLE t ADD g int GENERATED ALWAYS AS (id * 2) STORED")
    missing, generated = await findings(ready.system(TableUse("t", (), ("id", "g", "nope"))))
    assert "no column 'nope'" in missing.what
    assert "'g' is a generated column" in generated.what


async def test_a_missing_table_is_named_with_what_may_be_meant(ready: PostgresErp) -> None:
    ready.run("CREATE SCHEMA sap", "CREATE TABLE sap.vbak (id int PRIMARY KEY)")
    remaining = await findings(ready.system("nope", "vbak", "t", "pg_class.x"))
    texts = [finding.what for finding in remaining]
    assert any("table 'nope' does not exist in this database" in text for text in texts)
    assert any("`from: sap.vbak`" in text for text in texts)
    with pytest.raises(ConfigurationError, match="'nope' does not exist"):
        async with open_source(ready.system("nope")):
            pass
    with pytest.raises(ConfigurationError, match="'nope' does not exist"):
        await connector.describe(ready.system("t", "nope"))


async def test_names_are_found_as_written(ready: PostgresErp) -> None:
    ready.run('CREATE TABLE "Mixed" (id int PRIMARY KEY)', "CREATE TABLE mixed (n int PRIMARY KEY)")
    shapes = await connector.describe(ready.system("Mixed", "mixed", "public.t", "t"))
    assert [shape.columns[0].name for shape in shapes.values()] == ["id", "n", "id", "id"]
    assert list(shapes) == ["Mixed", "mixed", "public.t", "t"]
    with pytest.raises(ConfigurationError, match=r"public\.mixed"):
        await connector.describe(ready.system("MIXED"))


async def test_views_can_not_be_captured(ready: PostgresErp) -> None:
    ready.run("CREATE VIEW v AS SELECT * FROM t")
    remaining = await findings(ready.system("v"))
    assert any("is a view: its changes are not in the WAL" in finding.what for finding in remaining)
    with pytest.raises(ConfigurationError, match="not in the WAL"):
        await connector.setup(ready.system("v"))


async def test_a_source_says_at_once_that_nothing_would_come(ready: PostgresErp) -> None:
    ready.run("CREATE TABLE b (id int PRIMARY KEY)")
    async with open_source(ready.system("b")) as (source, _):
        # It begins by itself once the table is in the publication.
        assert 'ADD TABLE "public"."b"' in (await source.read(1, 0.0)).troubles["b"]
    missing = 'CREATE PUBLICATION "other".*then start `bridgectl run` again'
    with pytest.raises(ConfigurationError, match=missing):
        async with open_source(ready.system("t", publication="other")):
            pass


async def test_a_table_that_is_missing_or_unpublished_spares_the_others(ready: PostgresErp) -> None:
    ready.run("CREATE TABLE b (id int PRIMARY KEY)")
    async with open_source(ready.system("t", "b", "gone")) as (source, _):
        ready.run("INSERT INTO t VALUES (1, 'x')")
        [change] = await collect(source, 1)
        troubles = (await source.read(1, 0.0)).troubles
    assert change.shape.table == "t"
    assert 'ADD TABLE "public"."b"' in troubles["b"]
    assert "table 'gone' does not exist" in troubles["gone"]
    assert troubles.keys() == {"b", "gone"}


@pytest.fixture
def role(ready: PostgresErp) -> Any:
    ready.run("CREATE ROLE clerk LOGIN PASSWORD 'hush!'")
    yield ready.server.url_of(ready.url.rpartition("/")[2], "clerk", "hush!")
    ready.run("DROP OWNED BY clerk", "DROP ROLE clerk")


async def test_a_role_without_rights_is_told_each_grant(ready: PostgresErp, role: str) -> None:
    ready.run("CREATE SCHEMA s", "CREATE TABLE s.u (id int PRIMARY KEY)")
    ready.run(
        "ALTER PUBLICATION bridge ADD TABLE s.u", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    )
    system = ready.system("t", "s.u", url=role)
    remaining = await findings(system)
    fixes = [finding.fix.partition("; --")[0] for finding in remaining]
    assert fixes == [
        'ALTER ROLE "clerk" REPLICATION',
        'GRANT SELECT ON "public"."t" TO "clerk"',
        'GRANT USAGE ON SCHEMA "s" TO "clerk"',
        'GRANT SELECT ON "s"."u" TO "clerk"',
    ]
    ready.run(*fixes)
    assert await findings(system) == []
    async with open_source(system) as (source, _):
        ready.run("INSERT INTO s.u VALUES (1)", "INSERT INTO t VALUES (1, 'x')")
        await source.write_watermark("m")
        assert len(await collect(source, 2)) == 2
    taken = await connector.snapshot(system)
    assert len((await taken.chunk("s.u", None, None, 5)).rows) == 1
    await taken.close()


async def test_a_missing_grant_stops_a_snapshot_with_the_table_named(
    ready: PostgresErp, role: str
) -> None:
    taken = await connector.snapshot(ready.system("t", url=role))
    with pytest.raises(ConfigurationError, match=r"'t'.*permission denied"):
        await taken.chunk("t", None, None, 5)
    await taken.close()


async def test_a_set_up_that_the_role_may_not_make_names_who_may(
    ready: PostgresErp, role: str
) -> None:
    ready.run("DROP PUBLICATION bridge", "ALTER ROLE clerk REPLICATION")
    with pytest.raises(
        ConfigurationError, match=r"CREATE PUBLICATION.*`bridgectl setup erp --show` prints"
    ):
        await connector.setup(ready.system("t", url=role))


async def test_hidden_rows_are_found_and_never_left_out_in_silence(
    ready: PostgresErp, role: str
) -> None:
    ready.run(
        "ALTER ROLE clerk REPLICATION", "GRANT SELECT ON t TO clerk",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY", "INSERT INTO t VALUES (1, 'x')",
    )  # fmt: skip
    finding = await only(ready.system("t", url=role))
    assert finding.fix == 'ALTER ROLE "clerk" BYPASSRLS'
    taken = await connector.snapshot(ready.system("t", url=role))
    with pytest.raises(ConfigurationError, match="row-level security"):
        await taken.chunk("t", None, None, 5)
    await taken.close()


async def test_a_wrong_password_is_a_configuration_error_that_prints_no_password(
    ready: PostgresErp, role: str
) -> None:
    wrong = role.replace("hush", "loud")
    system = ready.system("t", url=wrong)
    with pytest.raises(ConfigurationError, match="password") as caught:
        await connector.describe(system)
    [finding] = await connector.check(system)
    for text in (str(caught.value), finding.what, repr(caught.value.__cause__)):
        assert "loud" not in text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:se@cret@127.0.0.1:1/db",
        "postgresql://u:se/cret@127.0.0.1:1/db",
        "postgresql://u:secret@127.0.0.1:nonsense/db",
        "postgresql://u:secret@127.0.0.1:1/db?nonsense=secret",
        "postgresql://u:secret%@127.0.0.1:1/db",
    ],
)
async def test_an_address_that_makes_no_sense_prints_no_password(
    erp: PostgresErp, url: str
) -> None:
    [finding] = await connector.check(erp.system("t", url=url))
    assert "cret" not in finding.what
    assert "erp" in finding.what


async def test_a_server_that_is_away_is_a_finding_and_retry_later(erp: PostgresErp) -> None:
    system = erp.system("t", url="postgresql://u:secret@127.0.0.1:1/db")
    [finding] = await connector.check(system)
    assert "cannot connect" in finding.what
    with pytest.raises(RetryLater, match="cannot connect"):
        async with open_source(system):
            pass
    with pytest.raises(RetryLater, match="cannot connect"):
        await connector.snapshot(system)


async def test_a_server_without_logical_wal_is_told_the_setting(private_postgres: Any) -> None:
    server = private_postgres({"wal_level": "replica"})
    erp = PostgresErp(server, server.url)
    erp.run("CREATE TABLE t (id int PRIMARY KEY)", "CREATE PUBLICATION bridge FOR TABLE t")
    remaining = await findings(erp.system("t"))
    assert remaining[0].fix == "ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server"
    with pytest.raises(ConfigurationError, match="wal_level"):
        async with open_source(erp.system("t")):
            pass
    erp.db.close()


def test_the_columns_of_a_row_filter_are_names_not_texts() -> None:
    columns = frozenset({"id", "status", "Odd", "kind"})
    assert filter_columns("((status = 'kind'::text) AND (\"Odd\" > 3))", columns) == {
        "status",
        "Odd",
    }
    assert filter_columns("(ident = 1)", columns) == frozenset()


async def test_a_standby_that_is_away_does_not_hold_up_the_set_up(private_postgres: Any) -> None:
    """CREATE PUBLICATION commits, and a commit would wait for `synchronous_standby_names`."""
    server = private_postgres({"synchronous_standby_names": "nobody"})
    erp = PostgresErp(server, server.new_database())
    erp.run("SET synchronous_commit = local", "CREATE TABLE t (id int PRIMARY KEY)")
    async with asyncio.timeout(20):
        ran = await connector.setup(erp.system("t"))
    erp.db.close()
    assert any("PUBLICATION" in statement for statement in ran)


async def test_sessions_say_whose_they_are_and_what_they_do(ready: PostgresErp) -> None:
    system = ready.system("t", commands=True)
    await connector.setup(system)
    snapshot = await connector.snapshot(system)
    reader = await connector.reader(system)
    writer = await connector.writer(system)
    try:
        async with open_source(system):
            await reader.fetch(Ask("t", ("id",), [(1,)]))
            await writer.prepare()
            names = ready.rows(
                "SELECT DISTINCT application_name FROM pg_stat_activity"
                " WHERE application_name LIKE 'legacy-bridge %' AND datname = current_database()"
            )
    finally:
        await snapshot.close()
        await reader.close()
        await writer.close()
    parts = ["commands", "reads", "side", "snapshot", "source"]
    assert sorted(names) == [(f"legacy-bridge acme erp {part}",) for part in parts]
