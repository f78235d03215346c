"""An ERP that ignores what it is told to: a proxy before the real one changes the questions.

Each lie is one word of data. Without one, all is forwarded as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import httpx

from bridge.connector import System
from bridge.kit.connector import ServerLie
from tests.connectors.tryton.kit_system import TrytonLegacy
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy
from tests.services.tryton import Tryton

LIES: Mapping[str, str] = {
    "filter": "conditions are ignored, but for those on ids",
    "every filter": "all conditions are ignored",
    "filter finds nothing": "any condition finds nothing",
    "order": "rows come in the order of their ids, the last one first",
    "pages cut": "no answer holds more than three rows",
    "top": "limits are ignored",
}
ROWS_OF_A_CUT_ANSWER = 3
"""Rows of an answer that is cut."""
READS = ("search_read", "search")


class LyingTryton:
    """`url` is the connector's; `lies` may change at any time. Only reads of `model` are lied about."""

    def __init__(self, erp: Tryton, model: str, *lies: str) -> None:
        assert set(lies) <= LIES.keys(), lies
        self.model = model
        self.lies = set(lies)
        self._erp = erp
        self.between = HttpProxy(erp.address)
        self.between.rule = self._rule
        self._http = httpx.Client(trust_env=False, timeout=60)

    def serving(self) -> AbstractAsyncContextManager[HttpProxy]:
        return self.between.serving()

    def url(self, of: str) -> str:
        return self.between.url(of)

    def close(self) -> None:
        self._http.close()

    def _rule(self, request: ForwardedRequest) -> CannedResponse | None:
        if not self.lies or request.method != "POST" or not request.body:
            return None
        call = json.loads(request.body)
        method = str(call.get("method", "")).removeprefix(f"model.{self.model}.")
        if method not in READS:
            return None
        domain, offset, limit, order, *more = call["params"]
        if "filter finds nothing" in self.lies and domain:
            return CannedResponse(200, json.dumps({"id": call["id"], "result": []}).encode())
        if "every filter" in self.lies:
            domain = []
        elif "filter" in self.lies:
            domain = _of_ids(domain)
        if "order" in self.lies and order:
            order = [["id", "DESC"]]
        if "top" in self.lies:
            limit = None
        if "pages cut" in self.lies:
            limit = ROWS_OF_A_CUT_ANSWER if limit is None else min(limit, ROWS_OF_A_CUT_ANSWER)
        call["params"] = [domain, offset, limit, order, *more]
        headers = {
            n: v for n, v in request.headers.items() if n in {"authorization", "content-type"}
        }
        answer = self._http.post(
            f"{self._erp.address}{request.path}", content=json.dumps(call).encode(), headers=headers
        )
        return CannedResponse(
            answer.status_code, answer.content, {"Content-Type": "application/json"}
        )


QUESTION_PARTS: Mapping[ServerLie, str] = {
    "filters ignored": "every filter",
    "filters find nothing": "filter finds nothing",
    "orders ignored": "order",
    "pages cut": "pages cut",
}


class LyingTrytonLegacy(TrytonLegacy):
    """The suite's legacy system, of which the connector sees what the proxy lets through."""

    def __init__(self, erp: Tryton, service: LyingTryton) -> None:
        super().__init__(erp, options={"reconcile": 0.5})
        self._service = service

    def lie(self, *lies: ServerLie) -> None:
        """As `LyingLegacy.lie`."""
        self._service.lies = {QUESTION_PARTS[lie] for lie in lies}

    def system(self, *tables: str) -> System:
        """As `Legacy.system`."""
        direct_system = super().system(*tables)
        return replace(direct_system, url=self._service.url(direct_system.url), logins=None)

    def probe_qty(self) -> str:
        """As `Probes.probe_qty`."""
        return f"find {self.table} id=:key, qty=:qty"


def _of_ids(domain: list[Any]) -> list[Any]:
    """The conditions on ids alone, of those that must all hold."""
    if domain and domain[0] == "id":
        return domain
    if domain and isinstance(domain[0], str):
        return []
    return [kept for part in domain if (kept := _of_ids(part))]


def row(number: int, **more: Any) -> dict[str, Any]:
    """A row of the suite's model."""
    return {"order_no": f"A{number:03}", "customer": f"C{number % 3}", "qty": number, **more}
