"""A bridge over a SQLite ERP and an OData service, in a folder, and the log that it writes."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from tests.bad_input.guarded_bridge import GuardedBridge
from tests.torture_input import agent

TABLES = """
pragma journal_mode = wal;
create table orders (order_no text primary key, qty integer, amount numeric(15,2), note text, due timestamp,
                     data blob, flag boolean);
create table task (id integer primary key, seed integer not null);
insert into orders values ('canary', 0, '0.00', '', null, null, 1);
"""
SYSTEM = """\
system: erp
connector: journal
url: sqlite:///../erp.db
entities:
  orders:
    from: orders
    key: order_no
    fields:
      order_no: {from: order_no}
      qty: {from: qty, type: integer}
      amount: {from: amount, type: "decimal(15,2)"}
      note: {from: note, type: string}
      due: {from: due, type: timestamp}
      data: {from: data, type: bytes}
      flag: {from: flag, type: boolean}
  task: {from: task, key: id}
commands:
  set_order:
    entity: orders
    args:
      qty: {type: integer, minimum: -1000000, maximum: 1000000}
      amount: {type: "decimal(15,2)", minimum: "-1000", required: false}
      note: {type: string, max_length: 100, required: false}
      due: {type: timestamp, required: false}
      data: {type: bytes, required: false}
      flag: {type: boolean, required: false}
    run: "update orders set qty = :qty, amount = :amount, note = :note, due = :due, data = :data,
          flag = :flag where order_no = :key"
    tier: outside_the_loop
"""
SERVICE = """\
system: shop
connector: odata
url: {url}
capture: {{poll: 0.1, overlap: 1, reconcile: 1, in_doubt_timeout: 2, timeout: 60}}
entities:
  product:
    from: Products
    key: id
    fields:
      id: {{from: ID}}
      name: {{from: name}}
      stock: {{from: stock}}
"""


class TorturedBridge:
    """`place` drives it by `bridgectl`; `erp` is the legacy file that users change."""

    def __init__(self, folder: Path, log: str, service_url: str, password: str) -> None:
        self.folder = folder
        self.erp_file = folder / "erp.db"
        (folder / "systems").mkdir(parents=True)
        (folder / "agents").mkdir()
        shutil.copy(agent.__file__, folder / "agents" / "fragile.py")
        (folder / "bridge.yaml").write_text(
            f"bridge: acme\nlog: {log}\nsystems: systems/*.yaml\nagents: agents/*.py\n"
        )
        (folder / "systems" / "erp.yaml").write_text(SYSTEM)
        (folder / "systems" / "shop.yaml").write_text(
            SERVICE.format(url=service_url.replace(password, "${env:SHOP_PASSWORD}"))
        )
        self.guarded = GuardedBridge(folder, {"SHOP_PASSWORD": password})
        with contextlib.closing(sqlite3.connect(self.erp_file)) as db:
            db.executescript(TABLES)
        answer = self.guarded.call("setup", "erp", "--yes")
        assert answer.code == 0, answer

    def sql(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """One transaction of the legacy program's."""
        with contextlib.closing(sqlite3.connect(self.erp_file, timeout=60)) as db, db:
            return db.execute(statement, values).fetchall()

    def canary(self) -> int:
        """What the last canary command set."""
        return int(self.sql("select qty from orders where order_no = 'canary'")[0][0])
