"""A row that can't be normalised: named in the dead letters, less what is masked; the rest goes on."""

from pathlib import Path

import pytest

from tests.bad_input.erp import GuardedErp, demo_erp
from tests.secret_scan import secret
from tests.waiting import wait_until

PERSON = "Jane Doe, 4 Privet Drive"


def orders(legacy: GuardedErp) -> list[tuple[str, str, str]]:
    return [
        (op, row["order_no"], row["status"])
        for op, row in legacy.bridge.changes("sales_order")
        if row is not None
    ]


def order(number: int, status: int) -> str:
    return (
        f"insert into vbak values ('{number:010}', '0000000001', '20260131', '101500', 100, "
        f"{status}, '', '{PERSON}')"
    )


@pytest.mark.usefixtures("processes")
def test_a_row_that_cannot_be_normalised_is_put_aside_and_mended_it_comes(tmp_path: Path) -> None:
    legacy = demo_erp(tmp_path / "erp", set_up=False)
    bridge = legacy.bridge
    bridge.secret("MASK_KEY", secret("m4sk-k3y"))
    # Whoever is named in a masked column stands nowhere in the log.
    bridge.secret("PERSON", PERSON)
    file = bridge.folder / "systems" / "erp.yaml"
    text = file.read_text().replace(
        "note:        {from: ztext, trim: true}", "note: {from: ztext, mask: hash}"
    )
    file.write_text(f"mask_key: ${{env:MASK_KEY}}\n{text}")
    assert bridge.call("setup", "erp", "--yes").code == 0
    # One before the first snapshot, one among changes.
    legacy.sql(order(1, 1), order(2, 9))
    with bridge.running() as run:
        run.says("dead letter.*gbstk")
        legacy.sql(order(3, 1), order(4, 9), order(5, 1))
        wait_until(lambda: len(orders(legacy)) == 2, describe=lambda: run.text)
        assert sorted(number for _, number, _ in orders(legacy)) == ["3", "5"]
        for letter in wait_until(lambda: letters(legacy, 2), describe=lambda: run.text):
            text = bridge.call("dead", "show", letter["letter"]).text
            for part in ("erp.sales_order", "gbstk", "status", "map", "9"):
                assert part in text, (part, text)
        legacy.sql("update vbak set gbstk = 2 where gbstk = 9")
        wait_until(lambda: len(orders(legacy)) == 4, describe=lambda: run.text)
        # Good, then bad, then gone: the delete comes, whatever the old row holds.
        legacy.sql("update vbak set gbstk = 9 where vbeln = '0000000005'")
        wait_until(lambda: letters(legacy, 3), describe=lambda: run.text)
        legacy.sql("delete from vbak where vbeln = '0000000005'")
        wait_until(
            lambda: "5" not in bridge.state("sales_order", "order_no"), describe=lambda: run.text
        )
    assert sorted(orders(legacy)[2:]) == [("update", "2", "partial"), ("update", "4", "partial")]
    state = bridge.state("sales_order", "order_no")
    assert {number: row["status"] for number, row in state.items()} == {
        "1": "open",
        "2": "partial",
        "3": "open",
        "4": "partial",
    }
    bridge.stores_no_secret()


def letters(legacy: GuardedErp, count: int) -> list[dict[str, str]]:
    """The dead letters, once there are so many."""
    letters = legacy.bridge.call("dead", "--kind", "row", "--json").rows
    return letters if len(letters) >= count else []
