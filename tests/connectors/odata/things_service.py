"""A service of one entity set, `Things`, whose metadata and answers a test chooses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridge.connector import Effect, System, TableUse
from connectors.odata.capture.options import ODataOptions
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy, alone

V4 = "http://docs.oasis-open.org/odata/ns/edm"


V2 = "http://schemas.microsoft.com/ado/2008/09/edm"


def document(properties: str, key: str = "id", *, version: str = "v4", more: str = "") -> bytes:
    """The metadata of one set, `Things`."""
    space, number = (V4, "4.0") if version == "v4" else (V2, "1.0")
    refs = "".join(f'<PropertyRef Name="{name}"/>' for name in key.split())
    return (
        f'<edmx:Edmx Version="{number}" xmlns:edmx="x"><edmx:DataServices>'
        f'<Schema Namespace="N" xmlns="{space}"><EntityType Name="T"><Key>{refs}</Key>{properties}'
        f'</EntityType><EntityContainer Name="C"><EntitySet Name="Things" EntityType="N.T"/>'
        f"</EntityContainer>{more}</Schema></edmx:DataServices></edmx:Edmx>"
    ).encode()


def prop(name: str, edm: str = "Edm.String", facets: str = "") -> str:
    return f'<Property Name="{name}" Type="{edm}" {facets}/>'


class FixedAnswers:
    """A service that answers by `answers`: the first whose method and path begin so; bodies are JSON."""

    def __init__(
        self, metadata: bytes, answers: Mapping[str, CannedResponse | tuple[int, Any]]
    ) -> None:
        self._metadata = metadata
        self.answers = dict(answers)
        self.between: HttpProxy = alone(self.answer)

    @property
    def url(self) -> str:
        return f"{self.between.address}/erp/"

    def answer(self, request: ForwardedRequest) -> CannedResponse:
        """As `tests.http_proxy.Rule`."""
        path = request.path.removeprefix("/erp/")
        if path == "$metadata":
            return CannedResponse(200, self._metadata, {"Content-Type": "application/xml"})
        for begin, answer in self.answers.items():
            method, _, start = begin.partition(" ")
            if method == request.method and path.startswith(start):
                if isinstance(answer, CannedResponse):
                    return answer
                body = json.dumps(answer[1]).encode()
                return CannedResponse(answer[0], body, {"Content-Type": "application/json"})
        return CannedResponse(
            404, b'{"error": {"message": "not there"}}', {"Content-Type": "application/json"}
        )

    def system(self) -> System:
        return System("acme", "erp", self.url, self.url, ODataOptions(), (TableUse("Things"),), 2)


ID = prop("id")


FINE = prop("id") + prop("at", "Edm.DateTimeOffset", 'Precision="7"')


def effect(
    statement: str, guard: Any = None, row: Mapping[str, Any] | None = None, **values: Any
) -> Effect:
    return Effect("t:1", "d", statement, values, "Things", row or {}, guard)
