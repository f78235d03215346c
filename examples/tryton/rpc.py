"""The least client that Tryton's JSON-RPC needs: one blocking call at a time."""

from base64 import b64encode
from decimal import Decimal
from itertools import count
from typing import Any

import httpx


class ErpRefused(RuntimeError):
    """The ERP refused a call, in its own words."""


class ErpRpc:
    """A session of a user. `context` goes with every call."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self.numbers = count(1)
        self.context: dict[str, Any] = {}
        number, session = self.ask("common.db.login", [user, {"password": password}])[:2]
        token = b64encode(f"{user}:{number}:{session}".encode()).decode()
        self.http.headers["Authorization"] = f"Session {token}"
        self.user = number

    def ask(self, method: str, params: list[Any]) -> Any:
        question = {"id": next(self.numbers), "method": method, "params": params}
        answer = self.http.post("rpc/", json=question).raise_for_status().json()
        if "error" in answer:
            raise ErpRefused(answer["error"])
        return answer["result"]

    def __call__(self, method: str, *params: Any) -> Any:
        """`sale.sale.quote` and its like."""
        return self.ask(f"model.{method}", [*params, self.context])

    def read(
        self, model: str, *domain: Any, fields=("rec_name",), order=("id", "ASC"), limit=None
    ) -> Any:
        """The rows that fit, as mappings."""
        return self(f"{model}.search_read", list(domain), 0, limit, [list(order)], list(fields))

    def the(self, model: str, *domain: Any) -> Any:
        """The id of the first row that fits."""
        return self.read(model, *domain, limit=1)[0]["id"]

    def make(self, model: str, /, **values: Any) -> Any:
        """A new row's id."""
        return self(f"{model}.create", [values])[0]


def exact(number):
    """A Decimal as Tryton writes it in JSON."""
    return {"__class__": "Decimal", "decimal": str(Decimal(number))}
