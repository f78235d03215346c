"""The least client that can prepare the ERP and look into it: one blocking call at a time."""

import json
from base64 import b64encode
from decimal import Decimal
from itertools import count
from typing import Any
from urllib.request import Request, urlopen

Values = dict[str, Any]


class RpcError(RuntimeError):
    """The ERP said no; `kind` is its exception's name."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.kind = error[0] if isinstance(error, list) else str(error)


class TrytonRpc:
    """A session of a user."""

    def __init__(self, address: str, database: str, user: str, password: str) -> None:
        self._url = f"{address}/{database}/rpc/"
        self._numbers = count(1)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self.context: Values = {}
        login = self._call("common.db.login", [user, {"password": password}])
        self.user, session = login[0], login[1]
        token = b64encode(f"{user}:{self.user}:{session}".encode()).decode()
        self._headers["Authorization"] = f"Session {token}"

    def call(self, method: str, *params: Any, context: Values | None = None) -> Any:
        """`model.party.party.read` and its like, with the context at the end."""
        return self._call(method, [*params, {**self.context, **(context or {})}])

    def search(self, model: str, *domain: Any) -> list[int]:
        """The ids that a domain finds, in their order."""
        ids = self.call(f"model.{model}.search", list(domain), 0, None, [["id", "ASC"]])
        return [int(number) for number in ids]

    def the(self, model: str, *domain: Any) -> int:
        """The only id, or the first, that a domain finds."""
        return self.search(model, *domain)[0]

    def read(self, model: str, ids: list[int], *fields: str) -> list[Values]:
        records: list[Values] = self.call(f"model.{model}.read", ids, list(fields))
        return records

    def create(self, model: str, values: Values) -> int:
        return int(self.call(f"model.{model}.create", [values])[0])

    def wizard(self, name: str, *states: tuple[str, Values]) -> None:
        """Walk through a wizard: each state with what was filled in."""
        session = self.call(f"wizard.{name}.create")[0]
        for state, data in states:
            self.call(f"wizard.{name}.execute", session, data, state)
        self.call(f"wizard.{name}.delete", session)

    def _call(self, method: str, params: list[Any]) -> Any:
        body = json.dumps(
            {"id": next(self._numbers), "method": method, "params": params}, default=packed
        )
        request = Request(self._url, body.encode(), self._headers)  # noqa: S310 - our own server
        with urlopen(request, timeout=120) as answer:  # noqa: S310
            reply = json.loads(answer.read(), object_hook=unpacked)
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]


def packed(value: Any) -> Any:
    """Values that JSON has no form for."""
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    raise TypeError(f"{value!r} is not sent by tests")


def unpacked(value: Values) -> Any:
    """Decimals; everything else stays as it came."""
    return Decimal(value["decimal"]) if value.get("__class__") == "Decimal" else value
