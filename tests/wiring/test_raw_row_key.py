"""The key of a row that became no event."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.model.position import format_position
from bridge.model.system_records import DeadLetter
from bridge.wiring.raw_row_key import KeyNames, raw_row_key
from tests.agent.sqlite_erp import ORDER

KEYS = KeyNames(cast("Any", SimpleNamespace(entities={"erp.sales_order": ORDER})))


def letter(
    raw: str | None, source: str = "erp.sales_order", position: str | None = None
) -> DeadLetter:
    at = datetime(2026, 1, 31, tzinfo=UTC)
    return DeadLetter(kind="row", source=source, reason="", at=at, raw=raw, position=position)


@pytest.mark.parametrize(
    "raw", ['{"new": {"vbeln": "0000000007"}, "old": null}', '{"old": {"vbeln": "0000000007"}}']
)
async def test_the_key_is_as_the_source_has_it(raw: str) -> None:
    assert await raw_row_key(KEYS, letter(raw)) == {"order_no": "0000000007"}


@pytest.mark.parametrize(
    "raw", [None, "", '{"new": {"vbeln": ', "[]", '{"new": 5}', '{"new": {"kunnr": "1"}}']
)
async def test_what_holds_no_key_has_none(raw: str | None) -> None:
    assert await raw_row_key(KEYS, letter(raw)) is None


async def test_a_letter_of_what_is_not_declared_has_no_key() -> None:
    assert await raw_row_key(KEYS, letter('{"new": {"vbeln": "1"}}', "erp.gone")) is None


@pytest.mark.parametrize(("number", "key"), [(6, "1"), (7, "2")])
async def test_the_two_letters_of_a_changed_key_each_name_their_own(number: int, key: str) -> None:
    raw = '{"old": {"vbeln": "1"}, "new": {"vbeln": "2"}}'
    position = format_position(0, 16, number)
    assert await raw_row_key(KEYS, letter(raw, position=position)) == {"order_no": key}
