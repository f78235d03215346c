"""What an answer is: one row, a list of rows; whatever its properties are called."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.connector import Ask
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.protocol.response import row_of
from tests.connectors.odata.things_service import FixedAnswers, document, prop

ODD_NAMES = ["d", "results", "value", "error", "id", "type", "etag", "__count", "next", "removed"]


@pytest.mark.parametrize("version", ["v4", "v2"])
@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_property_may_have_any_name(name: str, version: str) -> None:
    """`d` and `results` were taken for V2's envelope, `error` for an error."""
    row = {"key": "k", name: "x"}
    body: Any = row if version == "v4" else {"d": row}
    listed: Any = {"value": [row]} if version == "v4" else {"d": {"results": [row]}}
    if version == "v4":
        body = {"@odata.context": "$metadata#Things/$entity", **row}
    service = FixedAnswers(
        document(prop("key") + prop(name), "key", version=version),
        {"GET Things(": (200, body), "GET Things": (200, listed)},
    )
    async with service.between.serving():
        reader = ODataReader(service.system())
        for _ in range(2):
            rows = await reader.fetch(Ask("Things", ("key",), [("k",)]))
            assert rows.rows == [("k", "x")]
        await reader.close()
    assert row_of(body) == {**body.get("d", body)} if version == "v2" else row_of(body) == body
    assert row_of(listed) is None or version == "v4"
