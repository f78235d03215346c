"""Held commands where it counts: a real GRANT on PostgreSQL, and a log on Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bridge.log.kafka import from_url
from bridge.model.receipt import Receipt
from connectors.postgres.capture_dialect import POSTGRES
from connectors.postgres.setup.check import ledger_sql
from connectors.sql.write.ledger import LEDGER_TABLE
from connectors.sql.write.writer import SqlWriter
from tests.agent.sqlite_erp import SCHEMA, ErpHarness, open_erp
from tests.commands.sqlite_executor import HEIR, executing, send
from tests.commands.test_held import block, note, reach
from tests.commands.ungranted import UngrantedWriter, grant
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres

ORDERS = 60
PASSWORD = "hush-hush"


@pytest.fixture
def clerk(database: str, postgres: Postgres) -> Iterator[tuple[psycopg.Connection, str, str]]:
    """The ERP on PostgreSQL, and a login that may do everything but change orders."""
    role = f"clerk_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as owner:
        for statement in SCHEMA.strip().strip(";").split(";"):
            owner.execute(statement)
        owner.execute(ledger_sql())
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
        owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {LEDGER_TABLE} TO {role}")
        owner.execute(f"GRANT SELECT ON vbak TO {role}")
        owner.execute(
            "INSERT INTO vbak SELECT lpad(n::text, 10, '0'), '1', 'A', 5 "
            f"FROM generate_series(1, {ORDERS}) n"
        )
        yield owner, role, postgres.url_of(database.rpartition("/")[2], role, PASSWORD)
        owner.execute(f"DROP OWNED BY {role}")
        owner.execute(f"DROP ROLE {role}")


def writer_of(here: ErpHarness, url: str) -> SqlWriter:
    return SqlWriter(replace(here.system, url=url, logins=None), POSTGRES)


async def test_a_forgotten_grant_costs_no_command(
    here: ErpHarness, clerk: tuple[psycopg.Connection, str, str]
) -> None:
    """It burned all of them, for good."""
    owner, role, login = clerk
    commands = [note(str(number)) for number in range(1, ORDERS + 1)]
    await send(here, *commands)
    async with executing(here, writer=writer_of(here, login)):
        await reach(here, commands, "held_back")
        owner.execute(f"GRANT UPDATE ON vbak TO {role}")
        await reach(here, commands, "succeeded")
    [(count,)] = owner.execute("SELECT count(*) FROM vbak WHERE ztext = 'note 1'").fetchall()
    assert count == ORDERS


async def test_a_row_that_its_own_policy_protects_fails_and_holds_nobody_up_for_long(
    here: ErpHarness, clerk: tuple[psycopg.Connection, str, str]
) -> None:
    owner, role, login = clerk
    owner.execute(f"GRANT UPDATE ON vbak TO {role}")
    owner.execute("ALTER TABLE vbak ENABLE ROW LEVEL SECURITY")
    owner.execute(
        f"CREATE POLICY p ON vbak TO {role} USING (true) WITH CHECK (vbeln <> '0000000002')"
    )
    protected, others = note("2"), [note("1"), note("3")]
    await send(here, protected)
    async with executing(here, writer=writer_of(here, login)):
        await reach(here, [protected], "held_back")
        await send(here, *others)
        await reach(here, others, "succeeded")
        await reach(here, [protected], "failed")
    final_receipts = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    last = [r for r in final_receipts if r.command_id == protected.id][-1]
    assert last.code == "misconfigured"
    assert "row-level security" in (last.message or "")


async def test_on_kafka_who_takes_over_finds_what_is_held(kafka: Kafka, tmp_path: Path) -> None:
    bridge = f"held{uuid.uuid4().hex[:8]}"
    log = from_url(f"kafka://{kafka.bootstrap}")
    async with open_erp(tmp_path, partitions=1, log=log, bridge=bridge) as here:
        here.order(1, 1, 5)
        here.order(2, 1, 5)
        first, behind, other = block("1"), note("1", 2), note("2")
        await send(here, first, behind, other)
        writer = UngrantedWriter(here.system, here.folder)
        async with executing(here, writer=writer, session=HEIR):
            await reach(here, [other], "succeeded")
            await reach(here, [first, behind], "held_back")
        last = note("1", 3)
        await send(here, last)
        writer = UngrantedWriter(here.system, here.folder)
        async with executing(here, writer=writer, session=HEIR):
            await reach(here, [last], "held_back")
            grant(here.folder)
            await reach(here, [first, behind, last], "succeeded")
        with here.erp() as erp:
            row = erp.execute("select lifsk, ztext from vbak where vbeln like '%1'").fetchone()
        assert row == ("01", "note 3")
