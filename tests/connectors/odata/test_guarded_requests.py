"""Versions of rows: which request of a command names one, and what happens when it has changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bridge.connector import Done, Shape, System, TableUse
from bridge.model.errors import Rejected
from connectors.odata.capture.options import ODataOptions
from connectors.odata.commands.writer import ODataWriter
from tests.connectors.odata.things_service import (
    FixedAnswers,
    document,
    effect,
    prop,
)
from tests.http_proxy import CannedResponse, ForwardedRequest, alone


@pytest.mark.parametrize(
    ("edm", "own", "statement"),
    [("Edm.String", "5", ":key"), ("Edm.Int32", "5", "5"), ("Edm.Int32", 5, ":key")],
)
@pytest.mark.parametrize("guarded", [True, False])
async def test_a_row_that_was_read_with_an_etag_is_changed_under_it(
    edm: str, own: Any, statement: str, *, guarded: bool
) -> None:
    """Nothing in the metadata says that there are ETags; and the key may be written in several ways."""
    row = {"id": own if edm == "Edm.String" else 5, "note": "a", "@odata.etag": 'W/"1"'}
    service = FixedAnswers(
        document(prop("id", edm) + prop("note")),
        {
            "GET Things(": (200, row),
            "PATCH Things(": CannedResponse(204),
            "POST $batch": CannedResponse(501),
        },
    )

    def guard(_: Shape | None, raw: Any) -> None:
        assert raw is not None

    async with service.between.serving():
        writer = ODataWriter(service.system())
        command = effect(
            f"PATCH Things({statement}) note='b'",
            guard if guarded else None,
            {"id": own},
            key=5 if edm == "Edm.Int32" else "5",
        )
        [done] = await writer.execute([command])
        await writer.close()
        assert isinstance(done, Done), done
        [patch] = [request for request in service.between.requests if request.method == "PATCH"]
        assert patch.headers["if-match"] == 'W/"1"'


class _Versions:
    """One row with an ETag, which somebody else changes `times` times just after it was read."""

    def __init__(self, times: int) -> None:
        self.row: dict[str, Any] = {"id": 5, "note": "a", "state": "open"}
        self._version, self._left = 1, times

    @property
    def _etag(self) -> str:
        return f'W/"{self._version}"'

    def __call__(self, request: ForwardedRequest) -> CannedResponse:
        path = request.path.removeprefix("/erp/")
        if path == "$metadata":
            properties = prop("id", "Edm.Int32") + prop("note") + prop("state")
            return CannedResponse(200, document(properties), {"Content-Type": "application/xml"})
        if request.method == "GET":
            body = json.dumps({**self.row, "@odata.etag": self._etag}).encode()
            if self._left:
                self._left -= 1
                self._version += 1
                self.row["state"] = f"changed, {self._left} to come"
            return CannedResponse(200, body, {"Content-Type": "application/json"})
        if request.headers.get("if-match") not in {self._etag, "*"}:
            return CannedResponse(412)
        self.row |= json.loads(request.body)
        self._version += 1
        return CannedResponse(204)


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(("times", "outcome"), [(2, "done"), (3, "conflict")])
async def test_a_row_that_somebody_changes_meanwhile_is_read_anew(
    times: int, outcome: str, *, guarded: bool
) -> None:
    """What the command expects still holds: it is no conflict that another column changed."""
    service = _Versions(times)
    seen: list[Any] = []

    def guard(_: Shape | None, raw: Any) -> None:
        seen.append(raw)

    between = alone(service)
    async with between.serving():
        url = f"{between.address}/erp/"
        writer = ODataWriter(
            System("acme", "erp", url, url, ODataOptions(), (TableUse("Things"),), 2)
        )
        command = effect("PATCH Things(5) note='b'", guard if guarded else None, {"id": 5})
        [done] = await writer.execute([command])
        await writer.close()
    if outcome == "done":
        assert isinstance(done, Done), done
        assert service.row == {"id": 5, "note": "b", "state": "changed, 0 to come"}
    else:
        assert isinstance(done, Rejected), done
        assert done.code == "conflict"
        assert service.row["note"] == "a"
    assert len(seen) == (3 if guarded else 0)


async def test_of_two_changes_of_one_row_the_first_alone_names_its_version() -> None:
    """The first of them gives the row another version, under which the second would be refused."""
    properties = prop("id", "Edm.Int32") + prop("note") + prop("state")
    row = {"id": 5, "note": "a", "state": "open", "@odata.etag": 'W/"1"'}
    service = FixedAnswers(
        document(properties), {"GET Things(": (200, row), "POST $batch": CannedResponse(501)}
    )
    async with service.between.serving():
        writer = ODataWriter(service.system())
        command = effect("PATCH Things(5) note='b'; PATCH Things(5) state='c'", None, {"id": 5})
        await writer.execute([command])
        await writer.close()
    batches = [
        request.body for request in service.between.requests if request.path.endswith("$batch")
    ]
    assert batches
    assert {body.lower().count(b"if-match") for body in batches} == {1}


async def test_the_etag_of_an_answer_is_none_of_the_row() -> None:
    """Web servers and proxies give each answer one, and no service knows it."""
    row = json.dumps({"id": 5, "note": "a"}).encode()
    headers = {"Content-Type": "application/json", "ETag": 'W/"1d-gzip"'}

    class Proxied(FixedAnswers):
        def answer(self, request: ForwardedRequest) -> CannedResponse:
            if request.method == "PATCH":
                return CannedResponse(412 if "if-match" in request.headers else 204)
            return super().answer(request)

    metadata = document(prop("id", "Edm.Int32") + prop("note"))
    service = Proxied(metadata, {"GET Things(": CannedResponse(200, row, headers)})
    async with service.between.serving():
        writer = ODataWriter(service.system())
        [done] = await writer.execute([effect("PATCH Things(5) note='b'", None, {"id": 5})])
        await writer.close()
    assert isinstance(done, Done), done
