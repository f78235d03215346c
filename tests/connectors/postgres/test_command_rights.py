"""`check` asks the server whether the bridge's login may do what its commands do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from bridge.connector import ChecksRights, CommandRight, System
from bridge.model.specs import ArgSpec, CommandSpec
from bridge.model.types import FieldType
from connectors.postgres import connector
from tests.connectors.postgres.postgres_erp import PostgresErp

PASSWORD = "hush-hush"
STATEMENTS = {
    "block": "UPDATE vbak SET lifsk = '01', note = :reason WHERE id = :key",
    "create": "INSERT INTO vbak (note) VALUES (left(:reason, :level)) RETURNING id",
    "drop_order": "DELETE FROM vbak WHERE id = :key",
    "book": "SELECT book_order(:key, :level)",
    "close": "CALL close_order(:key, :reason)",
    "hidden": "UPDATE secret.costs SET amount = :amount WHERE id = :key",
}
NEEDS = {
    "block": ["GRANT SELECT, UPDATE ON vbak TO {}"],
    "create": [
        "GRANT SELECT, INSERT ON vbak TO {}",
        "GRANT USAGE ON SEQUENCE vbak_id_seq TO {}",
    ],
    "drop_order": ["GRANT SELECT, DELETE ON vbak TO {}"],
    "book": ["GRANT EXECUTE ON FUNCTION book_order TO {}"],
    "close": ["GRANT EXECUTE ON PROCEDURE close_order(integer,text) TO {}"],
    "hidden": [
        "GRANT USAGE ON SCHEMA secret TO {}",
        "GRANT SELECT, UPDATE ON costs TO {}",
    ],
}
ARGS = (
    ArgSpec("reason", FieldType("string"), required=False),
    ArgSpec("level", FieldType("integer"), required=False),
    ArgSpec("amount", FieldType("decimal", 15, 2), required=False),
)


def spec(name: str, run: str) -> CommandSpec:
    return CommandSpec("erp", name, "sales_order", run, ARGS)


@pytest.fixture
def clerk(erp: PostgresErp) -> Iterator[System]:
    """The system as a role sees it that may log in, and nothing else."""
    role = f"clerk_{urlsplit(erp.url).path.strip('/')}"
    erp.run(
        "CREATE TABLE vbak (id serial PRIMARY KEY, lifsk text, note text)",
        "INSERT INTO vbak (note) VALUES ('a')",
        "CREATE SCHEMA secret",
        "CREATE TABLE secret.costs (id int PRIMARY KEY, amount numeric(15,2))",
        "CREATE FUNCTION book_order(id int, level int) RETURNS int LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'it was run'; END$$",
        "CREATE PROCEDURE close_order(id int, note text) LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'it was run'; END$$",
        "REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA public FROM PUBLIC",
        f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'",
    )
    parts = urlsplit(erp.url)
    url = f"postgresql://{role}:{PASSWORD}@{parts.hostname}:{parts.port}{parts.path}"
    yield erp.system("vbak", url=url, commands=True)
    erp.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def role_of(system: System) -> str:
    return str(urlsplit(system.url).username)


async def check_statements(system: System, **statements: str) -> list[CommandRight]:
    assert isinstance(connector, ChecksRights)
    return await connector.check_rights(system, [spec(*each) for each in statements.items()])


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_missing_right_is_found_with_the_grant_that_gives_it(
    erp: PostgresErp, clerk: System, name: str
) -> None:
    for grant in NEEDS[name]:
        [right] = await check_statements(clerk, **{name: STATEMENTS[name]})
        assert right.verdict == "missing"
        assert "permission denied" in right.what
        assert right.fix == grant.format(role_of(clerk))
        erp.run(right.fix.replace(" costs ", " secret.costs "))
    assert await check_statements(clerk, **{name: STATEMENTS[name]}) == []


async def test_asking_carries_nothing_out(erp: PostgresErp) -> None:
    erp.run(
        "CREATE TABLE vbak (id serial PRIMARY KEY, lifsk text, note text)",
        "INSERT INTO vbak (note) VALUES ('a')",
    )
    statements = {name: STATEMENTS[name] for name in ("block", "create", "drop_order")}
    assert await check_statements(erp.system("vbak", commands=True), **statements) == []
    assert erp.rows("SELECT id, lifsk, note FROM vbak") == [(1, None, "a")]
    assert erp.rows("SELECT last_value FROM vbak_id_seq") == [(1,)]


async def test_statements_that_cannot_be_right_and_those_that_cannot_be_asked_are_told_apart(
    erp: PostgresErp, clerk: System
) -> None:
    erp.run(f"GRANT ALL ON vbak TO {role_of(clerk)}")
    verdicts = await check_statements(
        clerk,
        table="UPDATE vbap SET note = :reason WHERE id = :key",
        column="UPDATE vbak SET nothing = :reason WHERE id = :key",
        syntax="UPDATE vbak SETT note = :reason",
        procedure="CALL nothing(:key)",
        block="DO $$ BEGIN NULL; END $$",
    )
    assert [(right.command, right.verdict) for right in verdicts] == [
        ("table", "wrong"),
        ("column", "wrong"),
        ("syntax", "wrong"),
        ("procedure", "wrong"),
        ("block", "unasked"),
    ]
    assert 'relation "vbap" does not exist' in verdicts[0].what


async def test_a_server_that_is_away_is_said_so(erp: PostgresErp) -> None:
    from bridge.model.errors import RetryLater

    away = replace(
        erp.system("vbak", commands=True), url="postgresql://x@127.0.0.1:1/erp", logins=None
    )
    with pytest.raises(RetryLater):
        await check_statements(away, block=STATEMENTS["block"])
