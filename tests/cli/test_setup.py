"""`bridgectl setup`: what is set up, and what is left for somebody else."""

from pathlib import Path

import psycopg
import pytest

from tests.cli.test_postgres import configured


def test_a_table_that_can_not_be_set_up_spares_the_others(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", database)
    place = configured(tmp_path, "${env:SHOP_URL}")
    system = tmp_path / "systems" / "shop.yaml"
    system.write_text(
        f"{system.read_text()}  missing: {{from: missing}}\n  bare: {{from: bare, key: [id]}}\n"
    )
    with psycopg.connect(database, autocommit=True) as shop:
        shop.execute("create table article (id int primary key, name text)")
        shop.execute("create table bare (id int not null)")
        ran = place.call("setup", "shop", "--yes")
        published = shop.execute("select tablename from pg_publication_tables").fetchall()
    assert published == [("article",)]
    assert ran.code == 1
    assert "statements that ran: 2" in ran.err
    assert "still wrong: system 'shop': table 'missing' does not exist" in ran.err
    assert "still wrong: table 'bare' has no primary key" in ran.err
    assert 'ALTER TABLE "public"."bare" REPLICA IDENTITY FULL' in ran.err
    again = place.call("setup", "shop", "--yes")
    assert again.code == 2
    assert "table 'missing' does not exist" in again.err
