"""docs/restore.md, carried out as it is written: each block of commands is run from the page."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.bad_input.guarded_bridge import PROGRAM, GuardedBridge
from tests.bad_input.shop import PostgresShop
from tests.docs.pages import ROOT, DocsPage

PAGE = "docs/restore.md"


def block(holds: str) -> str:
    """The first block of commands of the page that holds these words."""
    page = DocsPage(PAGE, (ROOT / PAGE).read_text())
    return next(each.text for each in page.blocks() if each.language == "sh" and holds in each.text)


def carry_out(a_shop: PostgresShop, holds: str) -> subprocess.CompletedProcess[str]:
    """The block in the bridge's folder, for its own system and slot."""
    bridge = a_shop.bridge
    script = block(holds).replace("bridge_erp", a_shop.user).replace("erp", "shop")
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=bridge.folder,
        capture_output=True,
        text=True,
        check=False,
        env={
            **bridge.environment,
            "PATH": f"{PROGRAM.parent}:{a_shop.server.bindir}:{os.environ['PATH']}",
            "BRIDGE_CONFIG": str(bridge.config),
            "ERP_ADMIN_URL": a_shop.database,
        },
    )
    bridge.clean(done.stdout + done.stderr, script)
    return done


def works(a_shop: PostgresShop, holds: str) -> str:
    done = carry_out(a_shop, holds)
    assert done.returncode == 0, done
    return done.stdout


def refuses(bridge: GuardedBridge, *says: str) -> None:
    """Neither `check` nor `run` says that all is well, or goes on."""
    bridge.fails("check", code=1, says=says)
    with bridge.running() as run:
        assert run.ends() == 1
        for part in says:
            assert part in run.text


def test_a_log_that_is_put_back_stops_until_the_loss_is_accepted(a_shop: PostgresShop) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1), (3, 'pan', 1)")
        bridge.until_changes("article", 2)
        works(a_shop, "log backup")
        assert (bridge.folder / "backup.db").stat().st_mode & 0o777 == 0o600
        a_shop.sql(
            "insert into article values (4, 'lid', 1)",
            "delete from article where id = 2",
            "update article set price = 7 where id = 3",
        )
        bridge.until_changes("article", 5)
    works(a_shop, "mv bridge.db")
    assert carry_out(a_shop, "bridgectl check").returncode == 1
    refuses(bridge, "past the log's checkpoint", "snapshot shop --accept-loss")
    works(a_shop, "pg_drop_replication_slot")
    with bridge.running():
        a_shop.until_equal()
    assert bridge.call("check").code == 0


def test_a_log_of_a_moment_ago_goes_on_where_the_source_still_has_all(a_shop: PostgresShop) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1)")
        bridge.until_changes("article", 1)
    works(a_shop, "log backup")
    works(a_shop, "mv bridge.db")
    a_shop.sql("update article set price = 3 where id = 2")
    assert bridge.call("check").code == 0
    with bridge.running():
        a_shop.until_equal()


def test_a_database_from_a_dump_stops_until_the_loss_is_accepted(
    a_shop: PostgresShop, tmp_path: Path
) -> None:
    bridge, programs = a_shop.bridge, a_shop.server.bindir
    a_shop.set_up()
    dump = tmp_path / "shop.dump"
    with bridge.running() as run:
        run.says("streaming")
        a_shop.sql("insert into article values (2, 'jug', 1), (3, 'pan', 1), (4, 'cup', 2)")
        bridge.until_changes("article", 3)
        subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, a_shop.database], check=True)
        a_shop.sql("insert into article values (9, 'gone with the dump', 1)")
        bridge.until_changes("article", 4)
    a_shop.drop_slots()
    name = a_shop.database.rpartition("/")[2]
    maintenance = a_shop.server.url_of("postgres")
    for statement in (f"drop database {name}", f"create database {name}"):
        a_shop.server.execute(statement, url=maintenance)
    subprocess.run([programs / "pg_restore", "-d", a_shop.database, dump], check=True)
    refuses(bridge, f"{a_shop.user}' does not exist", "snapshot shop --accept-loss")
    assert "pg_create_logical_replication_slot" in works(a_shop, "setup erp --show")
    assert bridge.call("snapshot", "shop", "--accept-loss").code == 0
    with bridge.running():
        a_shop.until_equal()
    assert 9 not in bridge.state("article", "id")
    assert bridge.call("check").code == 0


@pytest.mark.parametrize("words", [("log", "backup", "bridge.yaml"), ("log", "backup", "/proc/x")])
def test_a_backup_writes_over_nothing(a_shop: PostgresShop, words: tuple[str, ...]) -> None:
    bridge = a_shop.bridge
    a_shop.set_up()
    with bridge.running() as run:
        run.says("streaming")
    target = str(bridge.config) if words[-1] == "bridge.yaml" else words[-1]
    before = bridge.config.read_text()
    answer = bridge.call("log", "backup", target)
    assert answer.code == 2
    assert target in answer.err
    assert bridge.config.read_text() == before
