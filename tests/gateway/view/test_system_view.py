"""The view of a system: built from the log, kept up, resumed, and silent where it isn't sure."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from bridge.capture.checkpoint.record import EntityPause
from bridge.gateway.view.contract import NOT_HELD, NotHeld
from bridge.gateway.view.owner_lock import OwnedElsewhere, OwnerLock
from bridge.gateway.view.system_view import LONGEST_OFF_S, OFF_S, next_pause
from bridge.gateway.view.view_inspection import inspect_view, request_rebuild
from bridge.model.freshness import Freshness
from bridge.model.names import change_topic
from bridge.model.position import MAX_NUMBER, format_position
from tests.gateway.view.change_records import change_value, order, order_key
from tests.gateway.view.written_log import held, reaches, written_log
from tests.waiting import until

NUMBERS = range(40)


def customer(number: int, name: str) -> dict[str, object]:
    return {"id": number, "name": name}


async def test_a_view_is_built_from_the_log_and_follows_it(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        for number in range(30):
            await log.write(("order", number, order(number, number % 3, "a")))
        await log.write(("order", 4, None))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            assert held(view, NUMBERS) == log.rows["order"]
            assert view.status().phase == "ready"
            position = await log.write(
                ("order", 5, None),
                ("order", 6, order(6, 9, "b")),
                ("customer", 9, customer(9, "n")),
            )
            await reaches(view, position)
            assert held(view, NUMBERS) == log.rows["order"]
            assert held(view, NUMBERS, "customer") == log.rows["customer"]
            [orders, none, null] = view.equal("order", ["customer_id"], [(9,), (77,), (None,)], 10)
            assert [(key, row["id"]) for key, row in orders] == [(order_key(6), 6)]
            assert (none, null) == ([], [])
            assert view.has_lookup("order", ["customer_id"])
            assert not view.has_lookup("order", ["note"])
            many = view.get_many("order", [order_key(6), order_key(5), order_key(7)])
            assert [row and row["id"] for row in many] == [6, None, 7]  # type: ignore[index]


async def test_nothing_is_served_before_the_snapshot_is_finished(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1)))
        async with log.view() as view:
            await until(lambda: view.status().doubts)
            assert view.claim("order") is None
            assert held(view, range(1, 2)) == {1: "?"}
            await reaches(view, await log.finish_snapshots())
            assert held(view, range(1, 2)) == {1: order(1)}


async def test_rows_of_one_transaction_are_seen_together(tmp_path: Path) -> None:
    """Though they are in several topics, and its end comes later."""
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1, 1, "a")), ("customer", 1, customer(1, "a")))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            await log.write(("order", 1, order(1, 1, "b")), ends=False)
            await log.write(checkpoint={"counter": 1}, same_commit=True, ends=False)
            applied = view.status().rows
            end = await log.write(("customer", 1, customer(1, "b")), same_commit=True, ends=True)
            await reaches(view, end)
            assert view.status().rows > applied
            row = view.get("order", order_key(1))
            assert row is not None
            assert row["note"] == "b"


async def test_a_transaction_that_has_not_ended_is_not_seen(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1, 1, "a")))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            session = view._session
            assert session is not None
            passes = session._passes
            await log.write(("order", 1, order(1, 1, "b")), ends=False)
            before = format_position(0, log.commit - 1, MAX_NUMBER)
            await until(lambda: session._passes > passes)
            row, claim = view.get("order", order_key(1)), view.claim("order")
            assert row is not None
            assert claim is not None
            assert (row["note"], claim.position) == ("a", before)


async def test_a_closed_view_is_resumed_without_the_registry(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        for number in range(20):
            await log.write(("order", number, order(number, 1)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
        read_before = log.registry.reads
        position = await log.write(("order", 3, None), ("order", 21, order(21)))
        async with log.view() as view:
            await reaches(view, position)
            assert view.status().reason == ""
            assert view.status().rows == 2
            assert held(view, NUMBERS) == log.rows["order"]
        assert log.registry.reads == read_before


async def test_a_view_of_another_log_with_the_same_name_is_built_again(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(*(("order", number, order(number, 1, "old")) for number in range(20)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
    for path in tmp_path.glob("log.db*"):
        path.unlink()
    async with written_log(tmp_path) as log:
        for number in range(15, 40):
            await log.write(("order", number, order(number, 1, "new")))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            assert held(view, NUMBERS) == log.rows["order"]


async def test_a_row_sent_in_part_is_completed_and_one_that_can_not_be_is_asked_for(
    tmp_path: Path,
) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1, 1, "kept")))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            position = await log.write(
                ("order", 1, order(1, 2)),
                ("order", 2, order(2, 2)),
                missing={1: ["note"], 2: ["note"]},
            )
            await reaches(view, position)
            row = view.get("order", order_key(1))
            assert row is not None
            assert (row["note"], row["customer_id"]) == ("kept", 2)
            with pytest.raises(NotHeld):
                view.get("order", order_key(2))
            assert view.get_many("order", [order_key(2)]) == [NOT_HELD]
            with pytest.raises(NotHeld):
                view.equal("order", ["customer_id"], [(2,)], 10)


async def test_a_dead_letter_removes_the_row_until_a_whole_one_follows(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1, 1, "a")), ("order", 2, order(2, 1, "a")))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            log.commit += 1
            await log.dead_letter(1, format_position(0, log.commit, 0))
            # What wasn't sent may be what failed: it doesn't complete the row.
            position = await log.write(("order", 1, order(1, 3)), missing={1: ["note"]})
            await reaches(view, position)
            assert held(view, range(1, 3)) == {1: "?", 2: order(2, 1, "a")}
            with pytest.raises(NotHeld):
                view.equal("order", ["customer_id"], [(1,)], 10)
        async with log.view() as view:
            await reaches(view, position)
            assert view.status().reason == ""
            assert held(view, range(1, 2)) == {1: "?"}
            await reaches(view, await log.write(("order", 1, order(1, 4, "whole"))))
            assert held(view, range(1, 2)) == {1: order(1, 4, "whole")}
            assert len(view.equal("order", ["customer_id"], [(1,)], 10)[0]) == 1


async def test_a_dead_letter_before_a_delete_is_settled_when_the_view_is_built(
    tmp_path: Path,
) -> None:
    async with written_log(tmp_path) as log:
        await log.dead_letter(1, format_position(0, 1, 0))
        log.commit = 1
        await log.write(("order", 1, None))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            assert view.get("order", order_key(1)) is None


async def test_a_letter_without_a_key_keeps_its_entity_in_doubt_over_a_restart(
    tmp_path: Path,
) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1)), ("customer", 1, customer(1, "a")))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            await log.dead_letter(None, format_position(0, log.commit + 1, 0))
            log.commit += 1
            await reaches(view, await log.write(("order", 2, order(2))), "customer")
            assert view.claim("order") is None
        async with log.view() as view:
            await reaches(view, await log.write(("order", 3, order(3))), "customer")
            assert view.claim("order") is None
            assert "a row without a key failed" in view.status().doubts["order"][0]  # type: ignore[index]


async def test_a_record_that_is_no_change_puts_its_row_in_doubt(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1)), ("order", 2, order(2)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            foreign = change_value(order(1), schema=2)
            position = await log.write(values=[("order", 1, foreign), ("order", 2, b"{}")])
            await reaches(view, position)
            assert held(view, range(1, 3)) == {1: "?", 2: "?"}
            assert any("schema id 2 isn't one of order" in each for each in log.reports)
            await reaches(view, await log.write(("order", 1, order(1, 5))))
            assert held(view, range(1, 3)) == {1: order(1, 5), 2: "?"}


async def test_the_claim_is_what_was_proved_about_a_position_that_is_in(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        position = await log.finish_snapshots()
        proved = log.proofs.claims["order"]
        async with log.view() as view:
            proved.claim = Freshness("erp", 0, position, 50.0)
            await reaches(view, position)
            assert view.claim("order") == Freshness("erp", 0, position, 50.0)
            # A proof about what isn't in yet proves nothing here; what was proved stays.
            later = format_position(0, log.commit + 1, MAX_NUMBER)
            proved.claim = Freshness("erp", 0, later, 60.0)
            assert view.claim("order") == Freshness("erp", 0, position, 50.0)
            proved.claim = Freshness("erp", 1, position, 70.0)
            assert view.claim("order") == Freshness("erp", 0, position, 50.0)
            proved.claim = Freshness("erp", 0, later, 60.0)
            await reaches(view, await log.write(("order", 1, order(1))))
            assert view.claim("order") == Freshness("erp", 0, later, 60.0)
            proved.claim = None
            assert view.claim("order") == Freshness("erp", 0, later, 60.0)


async def test_who_waits_is_woken_when_what_was_proved_is_in(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            later = format_position(0, log.commit + 1, MAX_NUMBER)
            log.proofs.claims["order"].claim = Freshness("erp", 0, later, 60.0)
            await view.wait("order", time.monotonic() + 0.05)
            assert view.claim("order") == Freshness("erp", 0, position)
            await log.write(("order", 1, order(1)))
            await view.wait("order", time.monotonic() + 60.0)
            claim = view.claim("order")
            assert claim is not None
            assert claim.as_of == 60.0


async def test_a_paused_entity_is_in_doubt(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(("order", 1, order(1)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            pause = EntityPause("its table changed", position, 0)
            await log.write(checkpoint={"paused": {"order": pause}})
            await until(lambda: view.claim("order") is None)
            assert "its table changed" in view.status().doubts["order"][0]  # type: ignore[index]
            await reaches(view, await log.write(checkpoint={"paused": {}}))


async def test_a_file_that_is_damaged_while_it_is_read_is_built_again(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(*(("order", number, order(number, 1)) for number in range(10)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            path = log.parts().path
            other = sqlite3.connect(path)
            other.execute('UPDATE "rows_order" SET crc = 1 WHERE key = ?', (order_key(3),))
            other.commit()
            other.close()
            with pytest.raises(NotHeld):
                view.get("order", order_key(3))
            assert view.claim("order") is None
            await reaches(view, position)
            assert view.status().reason == "one of its rows is damaged"
            assert held(view, NUMBERS) == log.rows["order"]


async def test_a_second_owner_stays_off_and_says_why(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        position = await log.finish_snapshots()
        path = log.parts().path
        path.parent.mkdir()
        lock = OwnerLock(path)
        async with log.view() as view:
            await until(lambda: view.status().phase == "off")
            assert "another process owns" in view.status().reason
            assert view.claim("order") is None
        lock.close()
        async with log.view() as view:
            await reaches(view, position)


async def test_a_file_that_grows_beyond_its_limit_is_removed_and_the_view_is_off(
    tmp_path: Path,
) -> None:
    async with written_log(tmp_path) as log:
        await log.write(*(("order", number, order(number, 1, "x" * 400)) for number in range(900)))
        position = await log.finish_snapshots()
        async with log.view(max_bytes=200_000) as view:
            await until(lambda: view.status().phase == "off")
            assert "full" in view.status().reason
            assert not log.parts().path.exists()
        async with log.view() as view:
            await reaches(view, position)
            # What doesn't fit later leaves nothing wrong behind either.
            assert held(view, NUMBERS)[3] == order(3, 1, "x" * 400)


async def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log, log.view(network=lambda _: "NFS") as view:
        await until(lambda: view.status().phase == "off")
        assert "is on a network file system (NFS)" in view.status().reason


async def test_records_that_were_removed_have_it_built_again(tmp_path: Path) -> None:
    async with written_log(tmp_path, partitions=1) as log:
        await log.write(*(("order", number, order(number, 1)) for number in range(10)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
        topic = change_topic("b", "erp", "order")
        await log.write(("order", 2, None))
        database = sqlite3.connect(tmp_path / "log.db")
        database.execute(
            "UPDATE partition SET first = next - 1 WHERE topic = ? AND next > 1", (topic,)
        )
        database.commit()
        database.close()
        position = await log.write(("order", 30, order(30)))
        async with log.view() as view:
            await reaches(view, position)
            assert view.status().reason != ""


async def test_a_large_transaction_is_applied_before_its_end_and_nothing_is_served_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.gateway.view.view_session.MAX_WAITING_CHANGES", 20)
    async with written_log(tmp_path) as log:
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            for first in range(0, 60, 6):
                chunk = [("order", number, order(number, 1)) for number in range(first, first + 6)]
                await log.write(*chunk, ends=False, same_commit=first > 0)
            await until(lambda: view.status().phase == "catching up" or view.status().rows >= 24)
            position = await log.write(("order", 70, order(70)))
            await reaches(view, position)
            assert held(view, range(100)) == log.rows["order"]


async def test_a_person_has_it_built_again(tmp_path: Path) -> None:
    async with written_log(tmp_path) as log:
        await log.write(*(("order", number, order(number, 1)) for number in range(10)))
        position = await log.finish_snapshots()
        async with log.view() as view:
            await reaches(view, position)
            assert request_rebuild(log.parts().path)
            await until(lambda: view.status().reason == "a person asked for it")
            await reaches(view, position)
            assert held(view, NUMBERS) == log.rows["order"]
            assert inspect_view(log.parts().path).is_owned
        report = inspect_view(log.parts().path)
        assert (report.is_complete, report.rows) == (True, {"customer": 0, "order": 10})
        assert not report.is_owned


def test_what_does_not_fit_is_tried_more_and_more_rarely() -> None:
    full, owned = sqlite3.OperationalError("full"), OwnedElsewhere("owned")
    assert next_pause(full, OFF_S, has_served=False) == 2 * OFF_S
    assert next_pause(full, LONGEST_OFF_S, has_served=False) == LONGEST_OFF_S
    assert next_pause(full, LONGEST_OFF_S, has_served=True) == OFF_S
    assert next_pause(owned, LONGEST_OFF_S, has_served=False) == OFF_S
