from __future__ import annotations

from bridge.commands import confirmed, notice_confirmations
from bridge.log.port import Record
from bridge.model import headers
from bridge.observe import Confirmed, Notice

TOLD = [
    (headers.ID, b"erp:0001-000000000000000A-0000000002"),
    (headers.TYPE, b"acme.erp.sales_order.update"),
    (headers.CAUSATION, b"credit-watch:abc"),
]
CONFIRMED = Confirmed("credit-watch:abc", "erp.sales_order", "0001-000000000000000A-0000000002")


def test_a_change_that_a_command_caused_confirms_it() -> None:
    assert confirmed(TOLD) == CONFIRMED


def test_other_changes_and_replayed_ones_confirm_nothing() -> None:
    assert confirmed(TOLD[:2]) is None
    assert confirmed([*TOLD, (headers.REPLAY, b"1")]) is None


def test_the_observer_is_told_once_a_change_and_not_for_its_tombstone() -> None:
    seen: list[Notice] = []
    records = [Record("t", 0, n, 0, b"k", value, TOLD) for n, value in ((0, b"v"), (1, None))]
    assert notice_confirmations(records, seen.append) == 1
    assert seen == [CONFIRMED]
