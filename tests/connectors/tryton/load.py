"""People and imports that work with the ERP, at random: customers, and sales with lines. And what the
ERP's database holds in the end, and held in between.

Nothing here is shared with the connector.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from http.client import HTTPException
from typing import Any

from tests.connectors.tryton.erp import ErpUser
from tests.services.tryton import Tryton
from tests.services.tryton_rpc import RpcError

Row = dict[str, Any]
COLUMNS = {
    "party.party": ("id", "code", "name", "active"),
    "sale.sale": ("id", "reference", "state", "party", "comment", "untaxed_amount_cache"),
    "sale.line": ("id", "sale", "product", "quantity", "unit_price"),
}
_NUMBERS = ("unit_price", "untaxed_amount_cache")


def rows(erp: Tryton, model: str) -> dict[int, Row]:
    """All rows of a model, by id."""
    names = COLUMNS[model]
    stored_rows = erp.store.run(f"SELECT {', '.join(names)} FROM {model.replace('.', '_')}")
    named_rows = (dict(zip(names, row, strict=True)) for row in stored_rows)
    return {row["id"]: plain(row) for row in named_rows}


def plain(row: Row) -> Row:
    """Values as they compare: numbers without a fixed scale by their value."""
    return {
        name: _number(value)
        if name in _NUMBERS and value is not None
        else bool(value)
        if name == "active"
        else value
        for name, value in row.items()
    }


def _number(value: Any) -> Decimal:
    # A file of SQLite holds them as bytes of text.
    return Decimal(value.decode() if isinstance(value, bytes) else str(value)).normalize()


CREATE_HISTORY_SQL = """\
CREATE TABLE history (number bigserial, model text, id integer, transaction bigint, state jsonb);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO history (model, id, transaction, state)
  VALUES (TG_TABLE_NAME, NEW.id, txid_current(), to_jsonb(NEW));
  RETURN NULL;
END $$;
"""
REMEMBER_MODEL_SQL = """\
INSERT INTO history (model, id, transaction, state) SELECT '{0}', id, 0, to_jsonb({0}) FROM {0};
CREATE TRIGGER remember AFTER INSERT OR UPDATE ON {0} FOR EACH ROW EXECUTE FUNCTION remember();
"""


def remember(erp: Tryton) -> None:
    """From now on PostgreSQL keeps each state of each row."""
    erp.store.run(CREATE_HISTORY_SQL)
    for model in COLUMNS:
        erp.store.run(REMEMBER_MODEL_SQL.format(model.replace(".", "_")))


def remembered(erp: Tryton, model: str) -> dict[int, list[Row]]:
    """Every state that a row had when a transaction was committed, by id, oldest first."""
    stored_states = erp.store.run(
        "SELECT DISTINCT ON (id, transaction) number, state::text FROM history"
        " WHERE model = ? ORDER BY id, transaction, number DESC",
        model.replace(".", "_"),
    )
    states: dict[int, list[Row]] = {}
    for _, text in sorted(stored_states):
        state = json.loads(text)
        row = plain({name: state[name] for name in COLUMNS[model]})
        states.setdefault(row["id"], []).append(row)
    return states


class ErpWorker(threading.Thread):
    """Works until told to end, and waits where the ERP is away."""

    def __init__(self, erp: Tryton, seed: int) -> None:
        super().__init__(daemon=True)
        self._user = ErpUser(erp)
        self._rpc = self._user.rpc
        self._dice = random.Random(seed)  # noqa: S311 - a seeded load
        self._over = threading.Event()
        self._error: BaseException | None = None
        self.done = self.refused = self.lost = 0

    def run(self) -> None:
        """Until `end`."""
        try:
            while not self._over.wait(self._dice.choice([0, 0.02, 0.05, 0.2])):
                self._act()
        except BaseException as error:  # noqa: BLE001 - told by `end`
            self._error = error

    def end(self) -> None:
        """Stop it; raises what it raised."""
        self._over.set()
        self.join(60)
        assert not self.is_alive(), "the load doesn't end"
        if self._error is not None:
            raise self._error

    def _act(self) -> None:
        try:
            self._once()
            self.done += 1
        except RpcError:
            # What another act made of the row meanwhile forbids it, or it is gone.
            self.refused += 1
        except (OSError, HTTPException):
            # It may have happened. The next one waits until the ERP is back.
            self.lost += 1
            time.sleep(0.2)

    def _once(self) -> None:
        raise NotImplementedError

    def _any(self, ids: Sequence[int]) -> int | None:
        return self._dice.choice(ids) if ids else None


class SalesLoad(ErpWorker):
    """Somebody whose acts take no time."""

    def __init__(self, erp: Tryton, seed: int) -> None:
        super().__init__(erp, seed)
        self._parties: list[int] = []
        self._sales: list[int] = []

    def _once(self) -> None:
        acts: list[Callable[[], object]] = [
            self._new_party,
            self._rename,
            self._switch,
            self._forget_party,
            *[self._new_sale] * 3,
            *[self._comment] * 2,
            *[self._change_line] * 3,
            *[self._drop_line] * 2,
            self._quote,
            *[self._forget_sale] * 2,
        ]
        self._dice.choice(acts)()

    def _new_party(self) -> None:
        names = ["Nov\u00e1kov\u00e1", "Brown & Co", "O'Neil", "\U0001f69a"]
        party = {"name": f"{self._dice.choice(names)} {self._dice.random()}"}
        self._parties += self._rpc.call("model.party.party.create", [party, party])

    def _rename(self) -> None:
        if key := self._any(self._parties):
            self._rpc.call("model.party.party.write", [key], {"name": str(self._dice.random())})

    def _switch(self) -> None:
        if key := self._any(self._parties):
            active = self._dice.random() < 0.5
            self._rpc.call("model.party.party.write", [key], {"active": active})

    def _forget_party(self) -> None:
        if key := self._any(self._parties):
            self._rpc.call("model.party.party.delete", [key])
            self._parties.remove(key)

    def _new_sale(self) -> None:
        sale = self._user.sale(self._dice.randint(1, 3), self._dice.randrange(3))
        self._sales.append(self._rpc.create("sale.sale", sale))

    def _comment(self) -> None:
        if key := self._any(self._sales):
            comment = self._dice.choice([None, str(self._dice.random())])
            self._rpc.call("model.sale.sale.write", [key], {"comment": comment})

    def _change_line(self) -> None:
        for line in self._lines():
            quantity = float(self._dice.randint(1, 99))
            self._rpc.call("model.sale.line.write", [line], {"quantity": quantity})

    def _drop_line(self) -> None:
        key = self._any(self._sales)
        for line in self._lines(key):
            # The way of a person who edits the sale: the line goes with the sale's own write.
            self._rpc.call("model.sale.sale.write", [key], {"lines": [["delete", [line]]]})

    def _quote(self) -> None:
        if key := self._any(self._sales):
            self._rpc.call("model.sale.sale.quote", [key])

    def _forget_sale(self) -> None:
        if key := self._any(self._sales):
            self._rpc.call("model.sale.sale.cancel", [key])
            self._rpc.call("model.sale.sale.delete", [key])
            self._sales.remove(key)

    def _lines(self, sale: int | None = None) -> list[int]:
        key = sale or self._any(self._sales)
        return self._rpc.search("sale.line", ["sale", "=", key])[:1] if key else []


class Import(ErpWorker):
    """Transactions that last for seconds, upon what everybody works upon."""

    def _once(self) -> None:
        parties = self._rpc.search("party.party", ["code", "=", None])[-20:]
        sales = self._rpc.search("sale.sale")[-20:]
        steps: list[Any] = []
        for _ in range(self._dice.randint(2, 5)):
            steps += self._step(self._any(parties), self._any(sales))
            steps.append(self._dice.choice([0.0, 0.5, 1.5]))
        self._rpc.call("model.kit.order.together", steps)

    def _step(self, party: int | None, sale: int | None) -> list[Any]:
        name, line = f"import {self._dice.random()}", self._user.sale(2, self._dice.randrange(3))
        steps: list[Any] = [
            ["party.party", "create", [{"name": name}, {"name": name}]],
            ["sale.sale", "create", [line]],
        ]
        if party is not None:
            steps.append(["party.party", "write", [party], {"name": name}])
            steps.append(["party.party", "delete", [party]])
        if sale is not None:
            steps += 2 * [["sale.sale", "write", [sale], {"comment": name}]]
            steps.append(["sale.sale", "quote", [sale]])
        return [self._dice.choice(steps)]
