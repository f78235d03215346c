"""What set-up runs, and what it finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.connector import System, TableUse
from bridge.model.errors import ConfigurationError
from connectors.journal import connector

from .conftest import Legacy
from .opened import TABLE, opened
from .replay import Rebuilt


class TestSetUp:
    async def test_set_up_runs_what_setup_sql_shows_and_then_nothing_is_left(
        self, legacy: Legacy
    ) -> None:
        legacy.run(TABLE)
        system = legacy.system("t")
        statements = connector.setup_sql(system)
        assert await connector.setup(system) == statements
        assert connector.setup_sql(system) == []
        assert await connector.check(system) == []

    async def test_what_set_up_shows_can_be_run_by_hand(self, legacy: Legacy) -> None:
        legacy.run(TABLE)
        legacy.run(*connector.setup_sql(legacy.system("t")))
        assert await connector.check(legacy.system("t")) == []

    async def test_a_wider_table_widens_the_journal(self, legacy: Legacy) -> None:
        legacy.run(TABLE, "CREATE TABLE w (id INTEGER PRIMARY KEY, a, b, c)")
        await connector.setup(legacy.system("t"))
        source = await opened(legacy.system("t", "w"))
        legacy.run("INSERT INTO t VALUES (1, 2)", "INSERT INTO w VALUES (1, 2, 3, 4)")
        assert [change.new for change in (await source.read(10, 0)).changes] == [
            (1, 2),
            (1, 2, 3, 4),
        ]
        await source.close()

    async def test_every_problem_is_found_at_once_with_a_way_out(self, legacy: Legacy) -> None:
        legacy.run(
            "PRAGMA journal_mode = DELETE",
            "CREATE TABLE nokey (a)",
            "CREATE TABLE weak (a, b)",
            "CREATE VIEW v AS SELECT 1 AS id",
            "CREATE TABLE e (id INTEGER PRIMARY KEY, s)",
            "CREATE UNIQUE INDEX e_lower ON e (lower(s))",
        )
        uses = (TableUse("nokey"), TableUse("weak", ("a", "b")), TableUse("v", ("id",)), "e", "ee")
        findings = await connector.check(legacy.system(*uses))
        problems = "\n".join(f"{finding.what} >> {finding.fix}" for finding in findings)
        assert "'nokey' has no primary key" in problems
        assert "CREATE UNIQUE INDEX bridge_key_weak ON weak (a, b)" in problems
        assert "'v' is a view" in problems
        assert "did you mean 'e'" in problems
        assert "PRAGMA journal_mode = WAL" in problems
        assert "'e_lower'" in problems
        with pytest.raises(ConfigurationError, match="no primary key"):
            connector.setup_sql(legacy.system("nokey"))

    async def test_a_table_without_primary_key_is_captured_by_its_declared_unique_key(
        self, legacy: Legacy
    ) -> None:
        legacy.run("CREATE TABLE t (a NOT NULL, b)", "CREATE UNIQUE INDEX i ON t (a)")
        source = await opened(legacy.system(TableUse("t", ("a",))))
        legacy.run("INSERT INTO t VALUES (1, 2)", "REPLACE INTO t VALUES (1, 3)")
        rebuilt = Rebuilt()
        rebuilt.take((await source.read(10, 0)).changes)
        await source.close()
        assert rebuilt.rows == {1: (1, 3)}

    async def test_a_missing_file_is_named_and_not_created(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/none.db"
        system = System("acme", "erp", url, url, None, (TableUse("t"),))
        with pytest.raises(ConfigurationError, match=r"no SQLite database at .*none\.db"):
            await connector.check(system)
        assert not (tmp_path / "none.db").exists()

    async def test_a_source_without_a_journal_says_how_to_make_one(self, legacy: Legacy) -> None:
        legacy.run(TABLE)
        source = await connector.source(legacy.system("t"))
        with pytest.raises(ConfigurationError, match="bridgectl setup"):
            await source.open(None)
        await source.close()

    async def test_a_file_that_is_no_database_is_a_matter_of_configuration(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "text.db").write_text("this is no database " * 100)
        url = f"sqlite:///{tmp_path}/text.db"
        with pytest.raises(ConfigurationError, match="not a database"):
            await connector.check(System("acme", "erp", url, url, None, (TableUse("t"),)))
