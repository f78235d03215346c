"""A change that a command caused is told to the observer, once it is in the log."""

from __future__ import annotations

from bridge.capture.report.confirmations import confirmations, confirmed
from bridge.connector import UPDATE, Change, Shape, SourceTransaction
from bridge.log.port import Entry
from bridge.model import headers
from bridge.observe import Confirmed
from bridge.plan.steps import Wire
from tests.capture.harness import CaptureHarness, until

RECORD_HEADERS = [
    (headers.ID, b"erp:0001-000000000000000A-0000000002"),
    (headers.TYPE, b"acme.erp.sales_order.update"),
    (headers.CAUSATION, b"credit-watch:abc"),
]
CONFIRMED = Confirmed("credit-watch:abc", "erp.sales_order", "0001-000000000000000A-0000000002")


def change(cause: str | None) -> Change:
    transaction = SourceTransaction(None, 10, None, 0)
    return Change(Shape("t", (), Wire.PYTHON), UPDATE, None, False, (), 1, transaction, cause)


def test_a_change_that_a_command_caused_confirms_it() -> None:
    assert confirmed(RECORD_HEADERS) == CONFIRMED


def test_other_changes_and_replayed_ones_confirm_nothing() -> None:
    assert confirmed(RECORD_HEADERS[:2]) is None
    assert confirmed([*RECORD_HEADERS, (headers.REPLAY, b"1")]) is None


def test_one_confirmation_a_caused_change_and_none_for_its_tombstone_or_its_neighbours() -> None:
    entries = [
        Entry(b"k", b"v", RECORD_HEADERS[:2]),
        Entry(b"k", b"v", RECORD_HEADERS),
        Entry(b"k", None, RECORD_HEADERS),
    ]
    changes = [change(None), change("credit-watch:abc")]
    assert confirmations(changes, entries) == [CONFIRMED]
    assert confirmations([change(None)], entries[:1]) == []


async def test_the_observer_is_told_which_command_took_effect_and_where_its_change_stands(
    harness: CaptureHarness,
) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    await harness.declare("t")
    async with harness.capturing():
        harness.run(
            "INSERT INTO t VALUES (1, 'by hand')",
            "BEGIN",
            "INSERT OR REPLACE INTO bridge_command VALUES (1, 'bot:1')",
            "INSERT INTO t VALUES (2, 'by the bot')",
            "DELETE FROM bridge_command",
            "COMMIT",
        )
        await until(lambda: [n for n in harness.notices if isinstance(n, Confirmed)])
        await harness.equal("t")
    (caused,) = [record for record in await harness.records("t") if record.key == {"id": 2}]
    assert caused.change is not None
    record = [notice for notice in harness.notices if isinstance(notice, Confirmed)]
    assert record == [Confirmed("bot:1", "erp.t", caused.change["position"])]
