"""Tryton as the connector suite's legacy system: what its users do, by remote calls of theirs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from bridge.connector import Connector, System, TableUse
from bridge.kit.connector import (
    COLUMNS,
    KEY,
    Create,
    Delete,
    Limitation,
    Operation,
    TypeCase,
    Update,
)
from connectors.tryton.options import TrytonOptions
from tests.services.tryton import PASSWORD, Tryton

QUICK = {
    "poll": 0.15,
    "overlap": 5,
    "overlap_interval": 0,
    "reconcile": 0.6,
}


CAPTURER = "capturer"


def capturer(erp: Tryton, *, administrator: bool = True) -> str:
    """A user for the bridge alone, made where it is missing; who isn't an administrator doesn't see
    the ERP's log of deletions.
    """
    login = CAPTURER if administrator else f"{CAPTURER}_of_little"
    if not erp.rpc.search("res.user", ["login", "=", login]):
        company = erp.rpc.context["company"]
        groups = ["Sales"] if not administrator else []
        erp.rpc.create(
            "res.user",
            {
                "name": login,
                "login": login,
                "password": PASSWORD,
                "administrator": administrator,
                "companies": [["add", [company]]],
                "company": company,
                "groups": [
                    ["add", [erp.rpc.the("res.group", ["name", "=", group]) for group in groups]]
                ],
            },
        )
    return login


class TrytonLegacy:
    """The table is `kit.order` of the module that tests add to the ERP; `typed` empties the one
    that has a column of each type.
    """

    build = "connectors.tryton.connector:connector"
    limitations: frozenset[Limitation] = frozenset({"rekey", "rollback"})
    table = "kit.order"
    key = "id"

    def __init__(
        self,
        erp: Tryton,
        *,
        types: Sequence[TypeCase] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        module, _, name = self.build.partition(":")
        self.connector: Connector = getattr(importlib.import_module(module), name)
        self.types = types
        self._erp = erp
        # Tryton forgets a session in the midst of others of the same user.
        self._user = capturer(erp)
        self._options = QUICK | dict(options or {})
        self._ids: dict[str, int] = {}

    def system(self, *tables: str) -> System:
        """As `Legacy.system`."""
        return System(
            "kit",
            "legacy",
            self._erp.url_of(self._user),
            "http://erp/",
            TrytonOptions.model_validate(self._options),
            tuple(TableUse(table) for table in tables or (self.table,)),
            2,
            commands=False,
        )

    def start(self) -> None:
        """As `Legacy.start`."""
        rpc = self._erp.rpc
        if left := rpc.search(self.table):
            rpc.call(f"model.{self.table}.delete", left)
        self._ids.clear()

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        """As `Legacy.apply`; each is a transaction of its own, but rows that are created together."""
        assert commit, "a remote call can't be taken back"
        for kind, same_kind in groupby(operations, type):
            if kind is Create:
                self._create(
                    [operation for operation in same_kind if isinstance(operation, Create)]
                )
            else:
                for operation in same_kind:
                    self._change(operation)

    def _create(self, creates: list[Create]) -> None:
        rows = [dict(create.row) for create in creates]
        ids = self._erp.rpc.call(f"model.{self.table}.create", rows)
        self._ids |= {row[KEY]: number for row, number in zip(rows, ids, strict=True)}

    def _change(self, operation: Operation) -> None:
        if isinstance(operation, Update):
            number = self._ids[operation.key]
            self._erp.rpc.call(f"model.{self.table}.write", [number], dict(operation.values))
        else:
            assert isinstance(operation, Delete)
            self._erp.rpc.call(f"model.{self.table}.delete", [self._ids.pop(operation.key)])

    def rows(self) -> list[dict[str, Any]]:
        """As `Legacy.rows`."""
        rpc = self._erp.rpc
        stored_rows = rpc.read(self.table, rpc.search(self.table), *COLUMNS)
        rows = [{name: _value(name, row[name]) for name in COLUMNS} for row in stored_rows]
        return sorted(rows, key=lambda row: str(row[KEY]))

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.typed`. Ids are never used again, unless the database itself is told to."""
        assert list(cases) == list(self.types), f"{name} has one set of columns"
        self._erp.store.empty(name)

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.fill`; literals are JSON as Tryton has it."""
        row = {f"c{at}": json.loads(case.literal) for at, case in enumerate(cases)}
        assert self._erp.rpc.create(name, row) == 1

    def set_qty(self) -> str:
        """As `Legacy.set_qty`."""
        return f"write {self.table}(:key) qty=:qty"


def _value(name: str, value: Any) -> Any:
    if name == "price" and value is not None:
        return Decimal(value).quantize(Decimal("0.01"))
    return value
