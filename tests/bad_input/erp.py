"""The demo's ERP, whose tables are captured through a journal, with its agent and its command."""

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bad_input.guarded_bridge import GuardedBridge
from tests.cli.bridge_folder import create_erp

DEMO = Path(__file__).parents[2] / "examples" / "demo"


@dataclass
class GuardedErp:
    """`place` runs the demo's bridge over the SQLite file `database`."""

    bridge: GuardedBridge
    database: Path

    def sql(self, *statements: str) -> list[Any]:
        """What users of the ERP do, each a transaction; the last one's rows."""
        rows: list[Any] = []
        with contextlib.closing(sqlite3.connect(self.database, timeout=20)) as demo_erp:
            for statement in statements:
                with demo_erp:
                    rows = demo_erp.execute(statement).fetchall()
        return rows

    def raise_exposure(self, customer: int, cents: int) -> None:
        self.sql(f"update kna1 set skfor = {cents} where kunnr = '{customer:010}'")

    def customers(self) -> dict[str, Any]:
        """The rows as they are, as the events should end."""
        rows = self.sql("select kunnr, name1, klimk, skfor from kna1")
        return {
            kunnr.lstrip("0"): {
                "customer_id": kunnr.lstrip("0"),
                "name": name.strip(),
                "credit_limit": f"{Decimal(limit) / 100:.2f}",
                "exposure": f"{Decimal(exposure) / 100:.2f}",
            }
            for kunnr, name, limit, exposure in rows
        }

    def is_in_the_log(self) -> bool:
        """Whether the customers' events end in what the table holds."""
        return self.bridge.state("customer", "customer_id") == self.customers()

    def exposures_of_updates(self) -> list[Any]:
        """The exposures that updates told, in order."""
        return [row["exposure"] for op, row in self.bridge.changes("customer") if op == "update"]


def demo_erp(
    folder: Path, log: str = "sqlite:///var/bridge.db", *, set_up: bool = True
) -> GuardedErp:
    """The demo's files in `folder`, over a small ERP."""
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("var", "__pycache__"))
    (folder / "var").mkdir()
    # Not among what the bridge writes, which is looked through.
    database = folder.with_name(f"{folder.name}.db")
    create_erp(folder / "legacy" / "erp.py", database)
    config = folder / "bridge.yaml"
    config.write_text(config.read_text().replace("log: sqlite:///var/bridge.db", f"log: {log}"))
    system = folder / "systems" / "erp.yaml"
    system.write_text(
        system.read_text().replace("sqlite:///../var/erp.db", f"sqlite:///{database}")
    )
    new_erp = GuardedErp(GuardedBridge(folder), database)
    if set_up:
        assert new_erp.bridge.call("setup", "erp", "--yes").code == 0
    return new_erp
