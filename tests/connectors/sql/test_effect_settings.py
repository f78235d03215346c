"""Effects run under the login's own settings; what the bridge reads doesn't depend on them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from bridge.connector import Ask, Done, Effect
from connectors.postgres.capture_dialect import POSTGRES
from connectors.postgres.transport.copy_connection import CopyConnection
from connectors.sql.engine import make_engine
from connectors.sql.postgres.session_settings import READ_SETTINGS
from connectors.sql.read.reader import SqlReader
from connectors.sql.write.writer import SqlWriter

from .conftest import SqlDatabase

#: A legacy database of its country: its programs write and read days before months.
SETTINGS = {
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Tokyo",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "0",
    "lc_monetary": "C.UTF-8",
}
TABLES = """
CREATE TABLE visit (id int PRIMARY KEY, told text, day date, at timestamptz, lasted interval,
    raw bytea, rate float8, price money, zone text, style text);
CREATE FUNCTION read_day() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.day := NEW.told::date; NEW.zone := current_setting('timezone');
    NEW.style := NEW.day::text; RETURN NEW; END $$;
CREATE TRIGGER read_day BEFORE UPDATE ON visit FOR EACH ROW EXECUTE FUNCTION read_day();
INSERT INTO visit VALUES (1, '01/01/2026'), (2, '01/01/2026'), (3, '01/01/2026')
"""
LATE = """
CREATE TABLE late (zone text, style text);
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO late VALUES (current_setting('timezone'), '31/12/2026'::date::text);
    RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON visit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION at_commit()
"""
SET = (
    "UPDATE visit SET told = :told, at = timestamptz '2026-01-31 10:00:00.5+00',"
    " lasted = '1 day 02:00', raw = '\\x00ff', rate = 0.1::float8 + 0.2, price = 1234.5"
    " WHERE id = :key"
)
RETURNING = (
    " RETURNING id, told, day, at, lasted, raw, rate, price, ARRAY[day] AS days,"
    " daterange(day, NULL) AS since, at::text AS written,"
    " inet '10.0.0.1' AS address, 'a'::char(3) AS fixed"
)


def change(number: int, tier: str, statement: str = SET) -> Effect:
    return Effect(
        f"bot:{number}", tier, statement, {"told": tier, "key": number}, "visit", {"id": number}
    )


async def carried_out(
    erp_database: SqlDatabase, effects: Sequence[Effect]
) -> list[Done | Exception]:
    writer = SqlWriter(erp_database.system("visit"), POSTGRES)
    outcomes = await writer.execute(effects)
    await writer.close()
    return outcomes


@pytest.fixture
def abroad(server: SqlDatabase) -> SqlDatabase:
    [(name,)] = server.rows("SELECT current_database()")
    server.run(TABLES)
    server.run(
        *(f"ALTER DATABASE \"{name}\" SET {key} = '{value}'" for key, value in SETTINGS.items())
    )
    server.make_ledger()
    return server


async def test_a_trigger_reads_dates_as_its_own_programs_write_them(abroad: SqlDatabase) -> None:
    refused, *outcomes = await carried_out(
        abroad, [change(3, "12/31/2026"), change(1, "31/12/2026"), change(2, "03/04/2026")]
    )
    assert isinstance(refused, Exception)
    assert all(isinstance(outcome, Done) for outcome in outcomes)
    assert abroad.rows(
        "SELECT id, to_char(day, 'YYYY-MM-DD'), zone, style FROM visit ORDER BY id"
    ) == [
        (1, "2026-12-31", "Asia/Tokyo", "31/12/2026"),
        (2, "2026-04-03", "Asia/Tokyo", "03/04/2026"),
        (3, None, None, None),
    ]


async def test_what_is_deferred_to_the_commit_runs_under_them_too(abroad: SqlDatabase) -> None:
    abroad.run(LATE)
    [outcome] = await carried_out(abroad, [change(1, "31/12/2026")])
    assert isinstance(outcome, Done)
    assert abroad.rows("SELECT * FROM late") == [("Asia/Tokyo", "31/12/2026")]


async def test_what_it_returns_and_its_row_have_the_form_of_every_read(abroad: SqlDatabase) -> None:
    [outcome] = await carried_out(abroad, [change(1, "31/12/2026", SET + RETURNING)])
    assert isinstance(outcome, Done)
    assert outcome.result is not None
    [row] = json.loads(outcome.result)
    written = row.pop("written")
    assert row == {
        "id": 1,
        "told": "31/12/2026",
        "day": "2026-12-31",
        "at": "2026-01-31 10:00:00.5+00",
        "lasted": "P1DT2H",
        "raw": "AP8=",
        "rate": 0.30000000000000004,
        "price": "$1,234.50",
        "days": "{2026-12-31}",
        "since": "[2026-12-31,)",
        "address": "10.0.0.1",
        "fixed": "a  ",
    }
    # What the statement itself makes text of is the login's.
    assert written == "31/01/2026 19:00:00.5 JST"
    reader = SqlReader(abroad.system("visit"), POSTGRES)
    result = await reader.fetch(Ask("visit", ("id",), [(1,)]))
    await reader.close()
    assert outcome.after == result.rows[0]
    assert outcome.shape is not None
    assert outcome.shape.columns == result.shape.columns


async def test_a_statement_may_return_many_values(abroad: SqlDatabase) -> None:
    abroad.run(
        "INSERT INTO visit (id, told) SELECT n, '01/02/2026' FROM generate_series(4, 2000) n"
    )
    statement = "UPDATE visit SET told = told WHERE id >= :key RETURNING id, day"
    writer = SqlWriter(abroad.system("visit"), POSTGRES)
    [outcome] = await writer.execute(
        [Effect("bot:1", "d", statement, {"key": 4}, "visit", {"id": 4}, many=True)]
    )
    await writer.close()
    assert isinstance(outcome, Done), outcome
    rows = json.loads(outcome.result or "")
    assert sorted(row["id"] for row in rows) == list(range(4, 2001))
    assert {row["day"] for row in rows} == {"2026-02-01"}


@pytest.mark.parametrize(
    "returning",
    ["ROW(id, day) AS pair", "'=r/postgres'::aclitem AS right", "pg_sleep(0) AS nothing"],
)
async def test_what_has_no_binary_form_is_returned_as_text(
    abroad: SqlDatabase, returning: str
) -> None:
    [outcome] = await carried_out(
        abroad, [change(1, "31/12/2026", f"{SET} RETURNING 1.50 AS n, {returning}")]
    )
    assert isinstance(outcome, Done), outcome
    [row] = json.loads(outcome.result or "")
    [other] = [value for name, value in row.items() if name != "n"]
    assert row["n"] == "1.50"
    assert other in {"(1,31/12/2026)", "=r/postgres", ""}


async def test_rows_of_every_table_of_a_batch_have_that_form_also_with_a_new_column(
    abroad: SqlDatabase,
) -> None:
    abroad.run("CREATE TABLE plain (id int PRIMARY KEY, note text)", "INSERT INTO plain VALUES (1)")
    statement = "UPDATE plain SET note = current_setting('timezone') WHERE id = :key"

    def noted(number: int) -> Effect:
        return Effect(f"bot:{number}", "d", statement, {"key": 1}, "plain", {"id": 1})

    writer = SqlWriter(abroad.system("visit", "plain"), POSTGRES)
    outcomes = await writer.execute([noted(1), change(2, "31/12/2026"), noted(3)])
    abroad.run("ALTER TABLE plain ADD day date DEFAULT '2026-12-31'")
    outcomes += await writer.execute([noted(4), noted(5)])
    await writer.close()
    rows = [outcome.after for outcome in outcomes if isinstance(outcome, Done)]
    assert len(rows) == 5, outcomes
    assert rows[0] == rows[2] == (1, "Asia/Tokyo")
    assert rows[1][2] == "2026-12-31"
    assert rows[3] == rows[4] == (1, "Asia/Tokyo", "2026-12-31")


@pytest.mark.parametrize("replication", [True, False])
async def test_every_session_that_reads_has_the_same_settings(
    abroad: SqlDatabase, replication: bool
) -> None:
    settings = ", ".join(f"current_setting('{name}')" for name in READ_SETTINGS)
    system = abroad.system("visit")
    engine = make_engine(system)
    with engine.connect() as connection:
        [read] = connection.exec_driver_sql(f"SELECT {settings}").all()
    engine.dispose()
    link = await CopyConnection.open(system, "test", replication=replication)
    [streamed] = await link.rows(f"SELECT {settings}")
    await link.close()
    assert tuple(read) == streamed == tuple(READ_SETTINGS.values())
    assert set(SETTINGS) == set(READ_SETTINGS)
