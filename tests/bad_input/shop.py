"""A shop on PostgreSQL whose articles are captured by a login that may do only what it has to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from tests.bad_input.guarded_bridge import GuardedBridge
from tests.secret_scan import secret
from tests.services.postgres import Postgres
from tests.waiting import wait_until

SYSTEM = """\
system: shop
connector: postgres
url: postgresql://{user}:${{env:SHOP_PASSWORD}}@{address}
capture: {{publication: {user}, slot: {user}, slot_wait: 1}}
entities:
  article:
    from: article
"""


@dataclass
class PostgresShop:
    """`place` captures the table `article` of `database`, which superusers change by `sql`."""

    bridge: GuardedBridge
    server: Postgres
    database: str
    user: str

    def sql(self, *statements: str) -> list[Any]:
        """As the superuser, each a transaction; the last one's rows."""
        rows: list[Any] = []
        for statement in statements:
            rows = self.server.execute(statement, url=self.database)
        return rows

    def set_up(self) -> None:
        """What `setup` would make, by the superuser, because the login doesn't own the table."""
        self.sql(
            f"create publication {self.user} for table article"
            " with (publish = 'insert, update, delete, truncate', publish_via_partition_root)"
        )

    def table(self) -> dict[Any, Any]:
        """The rows as they are, as the events should end."""
        rows = self.sql("select id, name, price from article")
        return {row[0]: {"id": row[0], "name": row[1], "price": str(row[2])} for row in rows}

    def until_equal(self) -> None:
        """The log's events end in the table's rows: those of the snapshot come when they come."""
        wait_until(
            lambda: self.bridge.state("article", "id") == self.table(),
            describe=lambda: f"{self.bridge.state('article', 'id')} is not {self.table()}",
        )

    def drop_slots(self) -> None:
        self.sql(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
            f" where slot_name = '{self.user}'"
        )


def postgres_shop(
    folder: Path,
    server: Postgres,
    database: str,
    *,
    bridge: str = "acme",
    log: str = "sqlite:///bridge.db",
    secrets: Mapping[str, str] | None = None,
) -> PostgresShop:
    """A login, a table with one row, and ten lines of configuration; nothing is set up yet."""
    name = make_url(database).database or ""
    user = f"{name}_bridge"
    guarded = GuardedBridge(
        folder, {"SHOP_PASSWORD": secret("s3cr3t/p@ss+word"), **(secrets or {})}
    )
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(
            psycopg.sql.SQL("create role {} login replication password {}").format(
                psycopg.sql.Identifier(user),
                psycopg.sql.Literal(guarded.secrets["SHOP_PASSWORD"]),
            )
        )
    new_shop = PostgresShop(guarded, server, database, user)
    new_shop.sql(
        "create table article (id int primary key, name text, price numeric(9,2))",
        f"grant select on article to {user}",
        "insert into article values (1, 'cup', 9.50)",
    )
    (folder / "systems").mkdir(parents=True)
    (folder / "bridge.yaml").write_text(f"bridge: {bridge}\nlog: {log}\n")
    (folder / "systems" / "shop.yaml").write_text(
        SYSTEM.format(user=user, address=f"{server.host}:{server.port}/{name}")
    )
    return new_shop
