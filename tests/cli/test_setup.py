"""`bridgectl setup`: what is set up, and what is left for somebody else."""

from pathlib import Path

import psycopg
import pytest

from bridge.model.specs import CommandSpec
from connectors.postgres.setup.plan import command_rights
from tests.cli.bridge_folder import BridgeFolder
from tests.cli.test_postgres import configured
from tests.secret_scan import secret


def test_a_table_that_can_not_be_set_up_spares_the_others(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", database)
    bridge_folder = configured(tmp_path, "${env:SHOP_URL}")
    system = tmp_path / "systems" / "shop.yaml"
    system.write_text(
        f"{system.read_text()}  missing: {{from: missing}}\n  bare: {{from: bare, key: [id]}}\n"
    )
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("create table article (id int primary key, name text)")
        shop.execute("create table bare (id int not null)")
        ran = bridge_folder.call("setup", "shop", "--yes")
        published = shop.execute("select tablename from pg_publication_tables").fetchall()
    assert published == [("article",)]
    assert ran.code == 1
    assert "statements that ran: 2" in ran.err
    assert "still wrong: system 'shop': table 'missing' does not exist" in ran.err
    assert "still wrong: table 'bare' has no primary key" in ran.err
    assert 'ALTER TABLE "public"."bare" REPLICA IDENTITY FULL' in ran.err
    again = bridge_folder.call("setup", "shop", "--yes")
    assert again.code == 2
    assert "table 'missing' does not exist" in again.err


COMMANDS = """\
commands:
  reprice:
    entity: article
    args: {price: {type: "decimal(9,2)"}}
    run: "update article set price = :price where id = :key"
  archive:
    entity: article
    run: "call archive(:key)"
"""
TABLE = "create table article (id int primary key, name text, price numeric(9,2))"
PROCEDURE = (
    "create procedure archive(n int) language sql as 'delete from article where id = n'",
    "revoke execute on procedure archive from public",
)


def by_a_login_of_its_own(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[BridgeFolder, str]:
    """A place whose `url` has a role that nobody has made yet."""
    address = database.rpartition("@")[2]
    role = f"bridge_{address.rpartition('/')[2]}"
    monkeypatch.setenv("SHOP_PASSWORD", secret("setup"))
    bridge_folder = configured(tmp_path, f"postgresql://{role}:${{env:SHOP_PASSWORD}}@{address}")
    system = tmp_path / "systems" / "shop.yaml"
    system.write_text(system.read_text() + COMMANDS)
    return bridge_folder, role


def test_a_dba_runs_what_show_prints_and_nothing_is_missing(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge_folder, role = by_a_login_of_its_own(tmp_path, database, monkeypatch)
    with psycopg.connect(database, autocommit=True) as dba:
        dba.execute(TABLE)
        for statement in PROCEDURE:
            dba.execute(statement.encode())
        unasked = bridge_folder.call("setup", "shop", "--show")
        assert unasked.code == 0
        assert "could not be determined" in unasked.err
        assert secret("setup") not in unasked.out + unasked.err
        for line in unasked.out.splitlines():
            if not line.startswith(("--", "ALTER SYSTEM", "SELECT pg_create")):
                dba.execute(line.encode())
        try:
            dba.execute(f"ALTER ROLE {role} PASSWORD '{secret('setup')}'".encode())
            left = bridge_folder.call("setup", "shop", "--show", "--json").rows
            # The login makes its slot itself.
            assert [row["statement"].split("(")[0] for row in left] == [
                "SELECT pg_create_logical_replication_slot"
            ]
            assert left[0]["login"].startswith(f"{role}, the login in `url`")
            assert bridge_folder.call("setup", "shop", "--yes").code == 0
            again = bridge_folder.call("setup", "shop", "--show")
            assert (again.code, again.out) == (0, "")
            assert "nothing is missing" in again.err
            checked = bridge_folder.call("check", "--json")
            assert checked.code == 0, checked.out
        finally:
            dba.execute("SELECT pg_drop_replication_slot('bridge_shop')")
            dba.execute(f"DROP OWNED BY {role}".encode())
            dba.execute(f"DROP ROLE {role}".encode())


def test_show_prints_only_the_rights_that_are_missing_with_who_gives_them(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge_folder, role = by_a_login_of_its_own(tmp_path, database, monkeypatch)
    with psycopg.connect(database, autocommit=True) as dba:
        dba.execute(TABLE)
        for statement in PROCEDURE:
            dba.execute(statement.encode())
        dba.execute(f"create role {role} login password '{secret('setup')}'".encode())
        try:
            dba.execute(f"grant update (price) on article to {role}".encode())
            rows = bridge_folder.call("setup", "shop", "--show", "--json").rows
            logins = {row["statement"].partition(";")[0]: row["login"] for row in rows}
            assert list(logins) == [
                f'ALTER ROLE "{role}" REPLICATION',
                f'GRANT SELECT ON "public"."article" TO "{role}"',
                next(text for text in logins if text.startswith("CREATE PUBLICATION")),
                next(text for text in logins if text.startswith("CREATE TABLE bridge_ledger")),
                f'GRANT SELECT, INSERT, UPDATE, DELETE ON "bridge_ledger" TO "{role}"',
                f'GRANT EXECUTE ON ROUTINE archive TO "{role}"',
                next(text for text in logins if text.startswith("SELECT pg_create_logical")),
            ]
            who = [login.split()[1].rstrip(",") for login in logins.values()]
            assert who == ["superuser", *["owner"] * 5, "the"]
            script = bridge_folder.call("setup", "shop", "--show").out.splitlines()
            assert [line for line in script if line.startswith("-- run as ")] == [
                "-- run as a superuser (of a managed server: its administrator):",
                "-- run as the owner of the tables, or a superuser:",
                f"-- run as {role}, the login in `url` (the first `bridgectl run` does it by itself):",
            ]
        finally:
            dba.execute(f"DROP OWNED BY {role}".encode())
            dba.execute(f"DROP ROLE {role}".encode())


@pytest.mark.parametrize(
    ("statement", "rights"),
    [
        ("update only sales.t set a = 1 where id = :key", [("UPDATE", "sales.t")]),
        ('insert into "Odd T" values (:key)', [("INSERT", '"Odd T"')]),
        ("delete from t where id = :key", [("DELETE", "t")]),
        ("select s.block(:key)", [("EXECUTE", "s.block")]),
        (
            "with gone as (delete from a where id = :key returning *) insert into b select * from gone",
            [("INSERT", "b"), ("DELETE", "a")],
        ),
    ],
)
def test_what_a_statement_needs_is_read_from_it(
    statement: str, rights: list[tuple[str, str]]
) -> None:
    spec = CommandSpec("shop", "act", "article", statement)
    assert [(each.right, each.name) for each in command_rights([spec], "bridge")] == rights
