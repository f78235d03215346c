"""The result of a command that was done: the key of a new row."""

from __future__ import annotations

import pytest

from bridge.connector import Done
from connectors.odata.commands.writer import ODataWriter
from tests.connectors.odata.things_service import (
    ID,
    FixedAnswers,
    document,
    effect,
    prop,
)
from tests.http_proxy import CannedResponse


@pytest.mark.parametrize(
    "headers",
    [
        {"OData-EntityId": "http://erp/Things('N%201')", "Preference-Applied": "return=minimal"},
        {"Location": "http://erp/Things('N%201')"},
        {"Location": "/erp/Things(id='N%201')"},
    ],
)
@pytest.mark.parametrize("status", [201, 204])
async def test_the_key_that_a_service_gave_a_new_row_is_in_the_receipt(
    status: int, headers: dict[str, str]
) -> None:
    service = FixedAnswers(
        document(ID + prop("note")), {"POST Things": CannedResponse(status, b"", headers)}
    )
    async with service.between.serving():
        writer = ODataWriter(service.system())
        [done] = await writer.execute([effect("POST Things note='x'")])
        await writer.close()
    assert isinstance(done, Done), done
    assert done.result == '[{"id":"N 1"}]'


async def test_an_answer_without_any_key_leaves_the_result_empty() -> None:
    answers = {"POST Things": CannedResponse(204, b"", {"Location": "http://erp/elsewhere/"})}
    service = FixedAnswers(document(prop("id", "Edm.Guid") + prop("note")), answers)
    async with service.between.serving():
        writer = ODataWriter(service.system())
        [done] = await writer.execute([effect("POST Things note='x'")])
        await writer.close()
    assert isinstance(done, Done), done
    assert done.result is None
