"""A real OData service as the connector suite's legacy system: its users' own program."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import httpx

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
from connectors.odata.capture.options import ODataOptions

EXACT = "application/json;IEEE754Compatible=true"


class ODataLegacy:
    """Writes by V4, whatever the connector reads by; `url` is the connector's.

    The service has its tables already: `typed` only holds them against the cases.
    """

    build = "connectors.odata.connector:connector"
    limitations: frozenset[Limitation] = frozenset({"rekey", "rollback"})
    key = KEY

    def __init__(
        self,
        url: str,
        client: httpx.Client,
        *,
        types: Sequence[TypeCase],
        table: str = "Suites",
        options: Mapping[str, Any] | None = None,
        empty: Callable[[], None] = lambda: None,
    ) -> None:
        module, _, name = self.build.partition(":")
        self.connector: Connector = getattr(importlib.import_module(module), name)
        self.types = types
        self.table = table
        self._url = url
        self._client = client
        self._options = {"poll": 0.1, "overlap": 2, "reconcile": 0.3, **(options or {})}
        self._empty = empty

    def system(self, *tables: str) -> System:
        """As `Legacy.system`."""
        return System(
            "kit",
            "legacy",
            self._url,
            "http://service/",
            ODataOptions.model_validate(self._options),
            tuple(TableUse(table) for table in tables or (self.table,)),
            2,
        )

    def start(self) -> None:
        """As `Legacy.start`."""
        self._empty()

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        """As `Legacy.apply`; each is a transaction of its own."""
        assert commit, "a service takes nothing back"
        for operation in operations:
            self._apply(operation)

    def _apply(self, operation: Operation) -> None:
        if isinstance(operation, Create):
            body = {name: _json(value) for name, value in operation.row.items()}
            self._send("POST", self.table, body)
        elif isinstance(operation, Update):
            body = {name: _json(value) for name, value in operation.values.items()}
            self._send("PATCH", f"{self.table}('{operation.key}')", body)
        else:
            assert isinstance(operation, Delete)
            self._send("DELETE", f"{self.table}('{operation.key}')", None)

    def _send(self, method: str, path: str, body: Any) -> None:
        headers = {"Content-Type": EXACT, "Accept": EXACT}
        if method != "POST":
            headers["If-Match"] = "*"
        answer = self._client.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text

    def rows(self) -> list[dict[str, Any]]:
        """As `Legacy.rows`."""
        rows, link = [], f"{self.table}?$orderby={KEY}"
        while link:
            answer = self._client.get(link, headers={"Accept": EXACT}).raise_for_status()
            document = answer.json(parse_float=Decimal)
            rows += [
                {name: _value(name, row.get(name)) for name in COLUMNS} for row in document["value"]
            ]
            link = document.get("@odata.nextLink", "")
        return rows

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.typed`."""
        self._empty()
        assert list(cases) == list(self.types), f"{name} has one set of columns"

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        """As `Legacy.fill`; literals are JSON."""
        members = "".join(f', "c{at}": {case.literal}' for at, case in enumerate(cases))
        answer = self._client.post(
            name, content=f'{{"id": 1{members}}}', headers={"Content-Type": EXACT}
        )
        assert answer.is_success, answer.text

    def set_qty(self) -> str:
        """As `Legacy.set_qty`."""
        return f"PATCH {self.table}(:key) qty=:qty"


def _json(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def _value(name: str, value: Any) -> Any:
    if name == "price" and value is not None:
        return Decimal(str(value)).quantize(Decimal("0.01"))
    return value
