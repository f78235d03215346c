"""What can be wrong with a PostgreSQL system: named in a sentence, fixed, and nothing is lost."""

from pathlib import Path

import psycopg
import pytest

from tests.bad_input.shop import PostgresShop, postgres_shop
from tests.conftest import PrivatePostgres


def test_a_wrong_password_is_told_and_once_it_is_right_capture_goes_on(
    a_shop: PostgresShop,
) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1)")
        bridge.until_changes("article", 1)
    right = bridge.secrets["SHOP_PASSWORD"]
    bridge.secret("SHOP_PASSWORD", "wr0ng:p@ss")
    a_shop.sql("update article set price = 2 where id = 2")

    says = ("system 'shop'", a_shop.user, "password authentication failed", "`url`")
    bridge.fails("check", code=1, says=says)
    bridge.all_fail(("setup", "shop", "--yes"), ("get", "article", "1"), code=2, says=says)
    with bridge.running() as run:
        assert run.ends() == 1
        for part in says:
            assert part in run.text

    bridge.secret("SHOP_PASSWORD", right)
    with bridge.running():
        assert bridge.until_changes("article", 2) == [
            ("create", {"id": 2, "name": "jug", "price": "1.00"}),
            ("update", {"id": 2, "name": "jug", "price": "2.00"}),
        ]
        a_shop.until_equal()


def test_a_password_that_is_replaced_is_taken_while_the_bridge_runs(
    a_shop: PostgresShop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As Kubernetes does it: first the server has the new one, some time later the file."""
    bridge, user = a_shop.bridge, a_shop.user
    a_shop.set_up()
    # Outside of the bridge's folder, none of whose files may hold a secret.
    file = tmp_path_factory.mktemp("secrets") / "password"
    file.write_text(bridge.secrets["SHOP_PASSWORD"])
    system = bridge.folder / "systems" / "shop.yaml"
    system.write_text(system.read_text().replace("${env:SHOP_PASSWORD}", f"${{file:{file}}}"))
    with bridge.running("--only", "capture") as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1)")
        bridge.until_changes("article", 1)
        bridge.secret("SHOP_PASSWORD", "r0tated:p@ss")
        a_shop.sql(
            f"alter role {user} password '{bridge.secrets['SHOP_PASSWORD']}'",
            f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{user}'",
            "insert into article values (3, 'pan', 1)",
        )
        run.says("it was accepted before: the secret is read again at each try")
        file.write_text(bridge.secrets["SHOP_PASSWORD"])
        bridge.until_changes("article", 2)
        a_shop.until_equal()


def test_a_missing_table_is_named_and_once_it_is_there_it_is_captured(a_shop: PostgresShop) -> None:
    bridge = a_shop.bridge
    a_shop.sql("drop table article")
    says = ("system 'shop'", "article", "search path")
    bridge.fails("check", code=1, says=says)
    bridge.all_fail(("setup", "shop", "--yes"), ("get", "article", "1"), code=2, says=says)
    with bridge.running() as run:
        assert run.ends() == 1
        for part in says:
            assert part in run.text

    a_shop.sql(
        "create table article (id int primary key, name text, price numeric(9,2))",
        f"grant select on article to {a_shop.user}",
        "insert into article values (7, 'pot', 3)",
    )
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("update article set price = 4")
        a_shop.until_equal()


def test_a_missing_grant_is_told_with_the_statement_that_gives_it(a_shop: PostgresShop) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1)")
        bridge.until_changes("article", 1)
        # Changes need no grant to be told; a snapshot and a look-up do.
        a_shop.sql(f"revoke select on article from {a_shop.user}")
        a_shop.sql("insert into article values (3, 'pan', 1)")
        bridge.until_changes("article", 2)
        grant = f'GRANT SELECT ON "public"."article" TO "{a_shop.user}"'
        checked = bridge.call("check", "--json")
        assert checked.code == 1
        assert any(row["fix"].rstrip(";") == grant for row in checked.rows), checked
        bridge.fails("get", "article", "1", code=2, says=("system 'shop'", "permission denied"))
        bridge.fails("snapshot", "article", code=1, says=("article", "permission denied"))
        a_shop.sql(grant, "insert into article values (4, 'lid', 1)")
        assert bridge.call("snapshot", "article", "--json").rows[0]["rows"] == 4
        assert [row["id"] for _, row in bridge.until_changes("article", 3)] == [2, 3, 4]
        a_shop.until_equal()
    assert bridge.call("check").code == 0


def test_a_slot_in_use_is_told_with_who_uses_it_and_taken_once_it_is_free(
    a_shop: PostgresShop,
) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
    with psycopg.connect(a_shop.database, replication="database", autocommit=True) as other:
        start = (
            f"START_REPLICATION SLOT {a_shop.user} LOGICAL 0/0"
            f" (proto_version '1', publication_names '{a_shop.user}')"
        )
        other.pgconn.send_query(start.encode())
        pid = other.info.backend_pid
        a_shop.sql("insert into article values (2, 'jug', 1)")
        with bridge.running() as run:
            text = run.says(r"retrying.*in use|in use.*retrying")
            assert a_shop.user in text
            assert str(pid) in text
            other.close()
            assert bridge.until_changes("article", 1)[0][0] == "create"
            a_shop.until_equal()


def test_a_dropped_slot_stops_capture_until_the_loss_is_accepted(a_shop: PostgresShop) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1), (3, 'pan', 1)")
        bridge.until_changes("article", 2)
    a_shop.drop_slots()
    # This is what nobody can tell any more.
    a_shop.sql("delete from article where id = 2", "update article set price = 5 where id = 3")
    with bridge.running() as run:
        assert run.ends() == 1
        for part in (a_shop.user, "does not exist", "checkpoint", "snapshot shop --accept-loss"):
            assert part in run.text
    bridge.fails("status", code=1, says=("does not exist", "--accept-loss"))
    says = (f"{a_shop.user}' does not exist", "checkpoint", "snapshot shop --accept-loss")
    bridge.fails("check", code=1, says=says)

    assert bridge.call("snapshot", "shop", "--accept-loss").code == 0
    with bridge.running():
        a_shop.sql("insert into article values (4, 'lid', 1)")
        a_shop.until_equal()
    assert bridge.call("check").code == 0
    epochs = [event["position"].split("-")[0] for event in bridge.events("article")]
    assert epochs == sorted(epochs)
    assert epochs[-1] > epochs[0]


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_a_database_that_is_down_is_waited_for(
    private_postgres: PrivatePostgres, when: str, tmp_path: Path
) -> None:
    server = private_postgres({})
    mine = postgres_shop(tmp_path / "mine", server, server.new_database())
    mine.set_up()
    if when == "at the start":
        with mine.bridge.running() as run:
            run.says("streaming")
        server.stop()
        says = ("system 'shop'", f":{server.port}/")
        mine.bridge.all_fail(("get", "article", "1"), ("check",), code=1, says=says)
    with mine.bridge.running() as run:
        if when == "later":
            run.says("streaming")
            server.stop()
        text = run.says("source state: system 'shop' .*state=retrying")
        assert f":{server.port}/" in text
        server.start()
        mine.sql("insert into article values (2, 'jug', 1)")
        assert [op for op, _ in mine.bridge.until_changes("article", 1)] == ["create"]
        mine.until_equal()
    mine.bridge.stores_no_secret()
