"""From one's own PostgreSQL table to the log, by the command line alone."""

from pathlib import Path

import psycopg
import pytest

from tests.cli.bridge_folder import BridgeFolder
from tests.secret_scan import secret


def configured(folder: Path, url: str) -> BridgeFolder:
    """Ten lines of configuration."""
    (folder / "systems").mkdir()
    (folder / "bridge.yaml").write_text("bridge: shop\nlog: sqlite:///bridge.db\n")
    (folder / "systems" / "shop.yaml").write_text(
        f"system: shop\nconnector: postgres\nurl: {url}\nentities:\n  article:\n    from: article\n"
    )
    return BridgeFolder(folder)


def test_a_table_of_ones_own_is_in_the_log_after_check_setup_and_run(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", database)
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("create table article (id int primary key, name text, price numeric(9,2))")
        shop.execute("insert into article values (1, 'cup', 9.50)")
        bridge_folder = configured(tmp_path, "${env:SHOP_URL}")
        missing = bridge_folder.call("check", "--json")
        assert missing.code == 1
        assert any("CREATE PUBLICATION" in row["fix"].upper() for row in missing.rows)
        assert "PUBLICATION" in bridge_folder.call("setup", "shop", "--show").out.upper()
        assert bridge_folder.call("setup", "shop", "--yes").code == 0
        again = bridge_folder.call("setup", "shop")
        assert (again.code, again.out) == (0, "")
        assert "nothing is missing" in again.err
        checked = bridge_folder.call("check", "--json")
        assert checked.code == 0, checked.out
        with bridge_folder.running():
            bridge_folder.until("tail", "article", "--no-follow", "--json")
            shop.execute("update article set price = 10 where id = 1")
            rows = bridge_folder.until(
                "tail", "article", "--op", "update", "--no-follow", "--json"
            ).rows
        assert rows[0]["after"] == {"id": 1, "name": "cup", "price": "10.00"}
        assert bridge_folder.call("get", "article", "1", "--json").rows == [rows[0]["after"]]
        assert bridge_folder.call("get", "article", "1", "2").code == 3
        assert bridge_folder.call("get", "article", "one").code == 2
        assert "id:int4 -> integer" in bridge_folder.call("schema", "plan", "article").out


def test_a_wrong_password_is_a_sentence_that_does_not_tell_it(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", secret("and-wrong"))
    host = database.rpartition("@")[2]
    bridge_folder = configured(tmp_path, f"postgresql://nobody:${{env:SHOP_PASSWORD}}@{host}")
    for words in (
        ("check",),
        ("setup", "shop", "--yes"),
        ("get", "article", "1"),
        ("schema", "plan", "article"),
    ):
        answer = bridge_folder.call(*words)
        assert answer.code in (1, 2), words
        assert "shop" in answer.out + answer.err
        assert secret("and-wrong") not in answer.out + answer.err
