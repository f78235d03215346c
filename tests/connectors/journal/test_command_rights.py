"""What can be asked of SQLite before commands run: the statement, and whether the file is writable."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.connector import System, TableUse
from bridge.model.specs import ArgSpec, CommandSpec
from bridge.model.types import FieldType
from connectors.journal import connector
from connectors.sql.sqlite.connection import BEGIN_OPTION
from connectors.sql.write import command_rights


@pytest.fixture
def erp(tmp_path: Path) -> System:
    with sqlite3.connect(tmp_path / "erp.db") as database:
        database.execute("create table vbak (vbeln text primary key, ztext text)")
        database.execute("insert into vbak values ('1', 'as it was')")
    url = f"sqlite:///{tmp_path / 'erp.db'}"
    return System("demo", "erp", url, "sqlite:///erp.db", None, (TableUse("vbak"),))


def spec(run: str) -> CommandSpec:
    return CommandSpec("erp", "note", "order", run, (ArgSpec("note", FieldType("string")),))


async def test_a_statement_is_planned_and_not_run(erp: System, tmp_path: Path) -> None:
    good = spec("update vbak set ztext = :note where vbeln = :key")
    assert await connector.check_rights(erp, [good, spec("delete from vbak")]) == []
    with sqlite3.connect(tmp_path / "erp.db") as database:
        assert database.execute("select * from vbak").fetchall() == [("1", "as it was")]
    wrong = [spec("update vbak set gone = :note"), spec("updat vbak set ztext = :note")]
    verdicts = await connector.check_rights(erp, wrong)
    assert [(right.verdict) for right in verdicts] == ["wrong", "unasked"]
    assert "no such column: gone" in verdicts[0].what


async def test_a_file_that_cannot_be_written_is_found(
    erp: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opened for reading alone, since root writes whatever a file's mode says."""
    path = f"file:{tmp_path / 'erp.db'}?mode=ro"
    read_only = sa.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(
            path, uri=True, check_same_thread=False, isolation_level=None
        ),
    )
    sa.event.listen(
        read_only,
        "begin",
        lambda c: c.exec_driver_sql(c.get_execution_options().get(BEGIN_OPTION, "BEGIN")),
    )
    monkeypatch.setattr(command_rights, "make_engine", lambda *_, **__: read_only)
    [right] = await connector.check_rights(erp, [spec("update vbak set ztext = :note")])
    assert right.verdict == "missing"
    assert "readonly database" in right.what
