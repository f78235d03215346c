"""Mistakes with a database, seeded one at a time: `check` finds each before `run` does, names the thing,
the place and the recovery option, and its exit code says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bad_input.shop import PostgresShop, postgres_shop
from tests.cli.mistakes import ConfigMistake, Data, change, closed_port, finds, mistakes
from tests.services.postgres import Postgres

AGENT = """
from bridge import Agent

agent = Agent("watch")


@agent.on("shop.article")
async def seen(event, ctx):
    pass
"""


# -- PostgreSQL -------------------------------------------------------------------------------


@pytest.fixture
def ground(tmp_path: Path, postgres: Postgres, database: str) -> Iterator[PostgresShop]:
    """A shop that is set up and well: a command, a procedure, an agent."""
    shop_setup = postgres_shop(tmp_path / "bridge", postgres, database)
    shop_setup.set_up()
    shop_setup.sql(
        f"grant update on article to {shop_setup.user}",
        "create procedure reprice(of int, price numeric) language sql"
        " as 'update article set price = $2 where id = $1'",
    )
    change(system_file(shop_setup), with_commands)
    (shop_setup.bridge.folder / "agents.py").write_text(AGENT)
    change(shop_setup.bridge.config, lambda data: data.update(agents=["agents.py"]))
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(f'grant create on schema public to "{shop_setup.user}"')
    assert shop_setup.bridge.inside("setup", "shop", "--yes").code == 0
    yield shop_setup
    shop_setup.drop_slots()
    shop_setup.sql(f"drop owned by {shop_setup.user}", f"drop role {shop_setup.user}")


def system_file(shop_setup: PostgresShop) -> Path:
    return shop_setup.bridge.folder / "systems" / "shop.yaml"


def with_commands(data: Data) -> None:
    data["commands"] = {
        "rename": {
            "entity": "article",
            "args": {"name": {"type": "string"}},
            "run": "update article set name = :name where id = :key",
            "tier": "outside_the_loop",
        },
        "reprice": {
            "entity": "article",
            "args": {"price": {"type": "decimal(9,2)"}},
            "run": "call reprice(:key, :price)",
            "tier": "outside_the_loop",
        },
    }


def url(old: str, new: str) -> Callable[[PostgresShop], object]:
    """Another part of the address."""

    def seed(shop_setup: PostgresShop) -> None:
        file = system_file(shop_setup)
        text = file.read_text()
        address = old.format(
            port=shop_setup.server.port, name=shop_setup.user.removesuffix("_bridge")
        )
        assert address in text
        words = {"closed": closed_port(), "port": shop_setup.server.port, "user": shop_setup.user}
        file.write_text(text.replace(address, new.format(**words)))

    return seed


def sql(*statements: str) -> Callable[[PostgresShop], object]:
    return lambda shop_setup: (
        shop_setup.sql(*(each.format(user=shop_setup.user) for each in statements)) and None
    )


def edit(of: Callable[[Data], object]) -> Callable[[PostgresShop], object]:
    return lambda shop_setup: change(system_file(shop_setup), of)


def article(**fields: Any) -> Callable[[PostgresShop], object]:
    """The entity says more."""
    return edit(lambda data: data["entities"]["article"].update(fields))


def secret(value: str) -> Callable[[PostgresShop], object]:
    return lambda shop_setup: shop_setup.bridge.secret("SHOP_PASSWORD", value)


def test_the_ground_is_well(ground: PostgresShop) -> None:
    """So that whatever `check` finds below is the mistake."""
    answer = ground.bridge.inside("check")
    assert answer.code == 0, answer


@mistakes(
    ConfigMistake(
        "wrong password", secret("wr0ng-p@ss"), 1, ["authentication failed", "check the user"]
    ),
    ConfigMistake(
        "unknown user",
        edit(lambda data: data.update(url=data["url"].replace("_bridge:", "_bridg:"))),
        1,
        ["system 'shop'", "authentication failed"],
    ),
    ConfigMistake(
        "wrong port", url(":{port}/", ":{closed}/"), 1, ["system 'shop'", "cannot connect"]
    ),
    ConfigMistake(
        "wrong database",
        url("{port}/{name}", "{port}/nosuch"),
        1,
        ["nosuch", "check the database in `url`"],
    ),
    ConfigMistake(
        "server without TLS",
        url("{port}/{name}", "{port}/x?sslmode=require"),
        1,
        ["does not support SSL", "ssl = on"],
    ),
    ConfigMistake(
        "no SELECT", sql("revoke select on article from {user}"), 1, ["GRANT SELECT", "article"]
    ),
    ConfigMistake(
        "no UPDATE for a command",
        sql("revoke update on article from {user}"),
        1,
        ["rename", "article", "UPDATE"],
    ),
    ConfigMistake(
        "no EXECUTE for a procedure",
        sql("revoke execute on procedure reprice from public"),
        1,
        ["reprice", "EXECUTE"],
    ),
    ConfigMistake(
        "no REPLICATION",
        sql('alter role "{user}" noreplication'),
        1,
        ["may not replicate", "REPLICATION"],
    ),
    ConfigMistake(
        "no publication", sql("drop publication {user}"), 1, ["publication", "CREATE PUBLICATION"]
    ),
    ConfigMistake(
        "table not published",
        sql("alter publication {user} drop table article"),
        1,
        ["article", "ADD TABLE"],
    ),
    ConfigMistake(
        "publication without deletes",
        sql("alter publication {user} set (publish = 'insert, update')"),
        1,
        ["leaves out operations", "ALTER PUBLICATION"],
    ),
    ConfigMistake(
        "no replica identity",
        sql("alter table article replica identity nothing"),
        2,
        ["article", "REPLICA IDENTITY"],
    ),
    ConfigMistake(
        "no key", sql("alter table article drop constraint article_pkey"), 2, ["article", "key"]
    ),
    ConfigMistake("table gone", sql("drop table article cascade"), 2, ["article", "search path"]),
    ConfigMistake("table misspelled", article(**{"from": "artcle"}), 1, ["artcle", "search path"]),
    ConfigMistake(
        "column misspelled",
        article(fields={"id": "id", "name": "nam"}),
        2,
        ["systems/shop.yaml:", "nam", "name"],
    ),
    ConfigMistake(
        "zone that there isn't",
        article(
            fields={"id": "id", "name": {"from": "name", "format": "%Y", "zone": "Europe/Berln"}}
        ),
        2,
        ["systems/shop.yaml:", "entities.article.fields.name.zone", "Europe/Berln"],
        offline=True,
    ),
    ConfigMistake("key that isn't unique", article(key=["name"]), 1, ["name", "unique"]),
    ConfigMistake(
        "slot of another plugin",
        sql(
            "select pg_drop_replication_slot('{user}')",
            "select pg_create_logical_replication_slot('{user}', 'test_decoding')",
        ),
        1,
        ["test_decoding", "another name"],
    ),
    ConfigMistake(
        "ledger gone",
        sql("drop table bridge_ledger"),
        1,
        ["command ledger", "bridge_ledger", "CREATE TABLE"],
    ),
    ConfigMistake(
        "ledger without rights",
        sql(
            "alter table bridge_ledger owner to postgres",
            'revoke all on bridge_ledger from "{user}"',
        ),
        1,
        ["may not read and write the command ledger", "GRANT"],
    ),
    ConfigMistake(
        "rows hidden by row security",
        sql("alter table article enable row level security"),
        1,
        ["article", "row"],
    ),
    # -- of the files alone, over the same ground --
    ConfigMistake(
        "literal password",
        url("${{env:SHOP_PASSWORD}}", "gEh3im"),
        2,
        ["systems/shop.yaml:3", "holds a password in clear", "${env:NAME}"],
        offline=True,
    ),
    ConfigMistake(
        "secret that isn't set",
        url("SHOP_PASSWORD", "SHOP_PASWORD"),
        2,
        ["systems/shop.yaml:3", "SHOP_PASWORD is not set"],
        offline=True,
    ),
    ConfigMistake(
        "secret file that isn't there",
        url("env:SHOP_PASSWORD", "file:/run/secrets/nosuch"),
        2,
        ["systems/shop.yaml:3", "/run/secrets/nosuch can't be read"],
        offline=True,
    ),
    ConfigMistake(
        "short mask key",
        lambda shop_setup: (
            (
                shop_setup.bridge.secrets.update(MASK="q"),
                change(system_file(shop_setup), lambda data: data.update(mask_key="${env:MASK}")),
            )
        ),
        0,
        [
            "systems/shop.yaml:",
            "warning",
            "mask_key",
            "fewer than 16 bytes",
            "longer, randomly generated one",
        ],
        offline=True,
    ),
    ConfigMistake(
        "database elsewhere that nobody verifies",
        edit(lambda data: data.update(url="postgresql://me:${env:SHOP_PASSWORD}@db.example/x")),
        0,
        ["systems/shop.yaml:", "warning", "sslmode=prefer, the default", "verify-full"],
        offline=True,
    ),
    ConfigMistake(
        "mask: hash without a key",
        article(fields={"id": "id", "name": {"from": "name", "mask": "hash"}}),
        2,
        ["systems/shop.yaml:", "no mask_key", "add mask_key"],
        offline=True,
    ),
    ConfigMistake(
        "tls: where the driver has its own",
        edit(lambda data: data.update(tls={"ca": "ca.pem"})),
        2,
        ["systems/shop.yaml:", "has no tls: of its own", "sslrootcert"],
        offline=True,
    ),
    ConfigMistake(
        "unknown connector",
        edit(lambda data: data.update(connector="postgers")),
        2,
        ["systems/shop.yaml:", "'postgers' is not installed", "installed are"],
        offline=True,
    ),
    ConfigMistake(
        "unknown option",
        edit(lambda data: data["capture"].update(slott="x")),
        2,
        ["systems/shop.yaml:", "'slott' is not a known key here"],
        offline=True,
    ),
    ConfigMistake(
        "two entities on one table",
        edit(lambda data: data["entities"].update(again={"from": "article"})),
        2,
        ["systems/shop.yaml:", "both use table 'article'"],
        offline=True,
    ),
    ConfigMistake(
        "relation to nothing",
        article(relations={"lines": {"entity": "line", "by": "article_id"}}),
        2,
        ["systems/shop.yaml:", "leads to 'line', which is not declared", "entities are article"],
        offline=True,
    ),
    ConfigMistake(
        "two systems of one name",
        lambda shop_setup: (
            system_file(shop_setup)
            .with_name("shop2.yaml")
            .write_text(system_file(shop_setup).read_text())
        ),
        2,
        ["systems/shop2.yaml:", "system 'shop' is already declared in systems/shop.yaml"],
        offline=True,
    ),
    ConfigMistake(
        "parameter that is no argument",
        edit(lambda data: data["commands"]["rename"].update(run="update article set name = :nam")),
        2,
        ["systems/shop.yaml:", ":nam, which is no argument", "known are"],
        offline=True,
    ),
    ConfigMistake(
        "agent's file that isn't there",
        lambda shop_setup: change(
            shop_setup.bridge.config, lambda data: data.update(agents=["agent.py"])
        ),
        2,
        ["bridge.yaml:", "no file matches 'agent.py'"],
        offline=True,
    ),
    ConfigMistake(
        "agents' module that isn't there",
        lambda shop_setup: change(
            shop_setup.bridge.config, lambda data: data.update(agents=["no.such:agent"])
        ),
        2,
        ["no.such"],
        offline=True,
    ),
    ConfigMistake(
        "agent that wants an entity that isn't there",
        lambda shop_setup: (shop_setup.bridge.folder / "agents.py").write_text(
            AGENT.replace("article", "artcle")
        ),
        2,
        ["'watch' wants 'shop.artcle'", "entities are shop.article"],
        offline=True,
    ),
    ConfigMistake(
        "log in a folder that can't be made",
        lambda shop_setup: change(
            shop_setup.bridge.config,
            lambda data: data.update(log="sqlite:///bridge.yaml/bridge.db"),
        ),
        1,
        ["bridge.yaml/bridge.db", "can't be created"],
    ),
    ConfigMistake(
        "log that is no log",
        lambda shop_setup: change(
            shop_setup.bridge.config, lambda data: data.update(log="sqlite:///agents.py")
        ),
        1,
        ["agents.py", "log"],
    ),
)
def test_a_mistake_with_a_database_is_found(ground: PostgresShop, mistake: ConfigMistake) -> None:
    mistake.seed(ground)
    finds(ground.bridge, mistake)
