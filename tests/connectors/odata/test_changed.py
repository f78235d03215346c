"""Changes by a time of change: what comes late, at once, from another time, in short pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.odata.capture.pollers.service_clock import ServiceClock, timestamp_of
from tests.connectors.odata.set_polls import keys, now, polling, short
from tests.services.cap import Cap

SECOND = timedelta(seconds=1)


def suite(key: str, qty: int, at: datetime, created: datetime | None = None) -> dict[str, Any]:
    """A row of `Suites` as it stands in the ERP's database."""
    stamps = {"modifiedAt": at.isoformat(), "createdAt": (created or at).isoformat()}
    return {"order_no": key, "qty": qty, **stamps}


async def test_what_becomes_visible_late_is_told_however_far_two_looks_are_apart(cap: Cap) -> None:
    """The overlap counts from the look before, not from this one."""
    async with polling(cap.url, "Suites") as polls:
        begun = now() - timedelta(hours=1)
        for number, seconds in enumerate((5, 60, 600, 5, 60)):
            at = begun + (polls.now - 1000) * SECOND
            cap.write("Suites", suite("A", number, at))
            assert keys(await polls.poll(1)) == ["A"]
            # A second later, and visible 26 seconds after its moment.
            cap.write("Suites", suite(f"L{number}", 1, at - 24 * SECOND))
            assert keys(await polls.poll(seconds)) == [f"L{number}"]


async def test_what_becomes_visible_behind_the_pages_of_a_long_look_is_told(cap: Cap) -> None:
    """A look of a minute sees late moments of a minute later: they don't move the next one on."""
    async with polling(cap.url, "Suites", page=3) as polls:
        begun = now() - 100 * SECOND
        cap.write("Suites", *(suite(f"A{n}", 1, begun + n * SECOND) for n in range(6)))
        changes, more = await polls.page()
        assert more
        polls.now += 60
        cap.write("Suites", suite("late", 1, begun - 20 * SECOND))
        cap.write("Suites", suite("Z", 1, begun + 60 * SECOND))
        while more:
            page_changes, more = await polls.page()
            changes += page_changes
        assert keys(changes) == ["A0", "A1", "A2", "A3", "A4", "A5", "Z"]
        assert keys(await polls.poll()) == ["late"]


async def test_a_long_look_that_was_interrupted_by_a_restart_is_made_up_for(cap: Cap) -> None:
    async with polling(cap.url, "Suites", page=3) as polls:
        begun = now() - 100 * SECOND
        cap.write("Suites", suite("A", 1, begun - SECOND))
        await polls.poll()
        cap.write("Suites", *(suite(f"A{n}", 1, begun + n * SECOND) for n in range(6)))
        await polls.page()
        await polls.restart()
        cap.write("Suites", suite("late", 1, begun - 20 * SECOND))
        cap.write("Suites", suite("Z", 1, begun + 60 * SECOND))
        assert keys(await polls.poll(0)) == ["A2", "A3", "A4", "A5", "Z"]
        assert keys(await polls.poll()) == ["late"]
        assert await polls.poll() == []


async def test_a_row_that_is_again_what_it_was_is_told_although_its_moment_is_the_same(
    cap: Cap,
) -> None:
    """Not every service's moments are finer than a second."""
    at = now()
    async with polling(cap.url, "Suites") as polls:
        for qty in (1, 2, 1, 2):
            cap.write("Suites", suite("A", qty, at))
            assert [value for _, _, value in await polls.poll()] == [qty]
            await polls.restart()
        assert await polls.poll() == []


async def test_a_moment_that_is_still_to_come_hides_no_other_change(cap: Cap) -> None:
    cap.write("Suites", suite("far", 1, now() + timedelta(days=3000)))
    async with polling(cap.url, "Suites") as polls:
        for number in range(3):
            cap.write("Suites", suite("A", number, now()))
            assert keys(await polls.poll()) == ["A"]
            cap.write("Suites", suite("near", number, now() + timedelta(hours=2)))
            assert keys(await polls.poll()) == ["near"]
            await polls.restart()
        cap.write("Suites", suite("far", 2, now() + timedelta(days=3000)))
        assert keys(await polls.poll()) == ["far"]


async def test_a_clock_that_was_set_back_hides_no_change_and_raises_doubts(cap: Cap) -> None:
    async with polling(cap.url, "Suites") as polls:
        cap.write("Suites", suite("A", 1, now()))
        await polls.poll()
        # Between two looks, 50 s apart, it is set back by an hour; 45 s later comes the look.
        back = now() - timedelta(hours=1)
        cap.write("Suites", suite("B", 1, back))
        polls.reader.date = back + 45 * SECOND
        assert keys(await polls.poll(50)) == ["B"]
        assert [text.split(" by ")[0] for text in polls.stale] == [
            "the service's clock was set back"
        ]
        for number in range(5):
            polls.reader.date += 5 * SECOND
            cap.write("Suites", suite("B", number + 2, polls.reader.date))
            assert ("update", "B", number + 2) in await polls.poll()
        assert len(polls.stale) == 1


async def test_servers_whose_clocks_differ_by_seconds_raise_no_doubts(cap: Cap) -> None:
    async with polling(cap.url, "Suites") as polls:
        for number in range(6):
            polls.reader.date = now() - (number % 2) * 10 * SECOND
            cap.write("Suites", suite("A", number, polls.reader.date))
            assert keys(await polls.poll()) == ["A"]
        assert not polls.stale


async def test_many_rows_of_one_moment_over_page_borders_are_told_once_each(cap: Cap) -> None:
    async with polling(cap.url, "Suites", page=4) as polls:
        at = now()
        cap.write("Suites", *(suite(f"{n:02}", 1, at) for n in range(30)))
        assert keys(await polls.poll()) == [f"{n:02}" for n in range(30)]
        assert await polls.poll() == []
        # Some of them change while the pages are read.
        cap.write("Suites", *(suite(f"{n:02}", 2, at) for n in range(30)))
        changes, more = await polls.page()
        cap.write("Suites", suite("00", 3, at), suite("20", 3, at), suite("03", 3, at + SECOND))
        while more:
            page_changes, more = await polls.page()
            changes += page_changes
        changes += await polls.poll()
        last = {key: qty for _, key, qty in changes}
        assert last == {f"{n:02}": 3 if n in {0, 3, 20} else 2 for n in range(30)}


async def test_short_pages_without_a_link_end_no_look(cap: Cap) -> None:
    """Some services give fewer rows than they are asked for, and don't say so."""
    async with polling(cap.url, "Suites", page=10) as polls:
        polls.reader.bend = short(3)
        at = now()
        cap.write("Suites", *(suite(f"{n:02}", 1, at) for n in range(8)))
        cap.write("Suites", *(suite(f"{n:02}", 1, at + SECOND) for n in range(8, 12)))
        assert keys(await polls.poll()) == [f"{n:02}" for n in range(12)]
        assert await polls.poll() == []


async def test_a_row_is_created_where_it_was_not_told_since_it_was_made(cap: Cap) -> None:
    async with polling(cap.url, "Suites") as polls:
        created = now()
        cap.write("Suites", suite("A", 1, created), suite("B", 1, created))
        assert [op for op, _, _ in await polls.poll()] == ["create", "create"]
        cap.write("Suites", suite("A", 2, created + SECOND, created))
        # B went, and came again; both were told by nobody.
        cap.write("Suites", suite("B", 2, created + SECOND))
        assert sorted(await polls.poll()) == [("create", "B", 2), ("update", "A", 2)]
        # Made before A changed, visible only now.
        cap.write("Suites", suite("late", 1, created - 9 * SECOND))
        assert await polls.poll() == [("create", "late", 1)]
        await polls.restart()
        cap.write("Suites", suite("A", 3, created + 2 * SECOND, created))
        cap.write("Suites", suite("C", 1, created + 3 * SECOND))
        assert sorted(await polls.poll()) == [("create", "C", 1), ("update", "A", 3)]


def test_moments_without_a_zone_are_bounded_by_the_farthest_zone() -> None:
    date = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
    clock = ServiceClock(30, lambda: 0.0)
    clock.answered("Mon, 04 May 2026 12:00:00 GMT", 0.0, first=True)
    local = date.replace(tzinfo=None)
    clock.see(local + timedelta(hours=13))
    clock.see(local + timedelta(days=2))
    assert clock.latest == local + timedelta(hours=13)
    assert clock.set_back() is None


def test_a_service_that_sends_no_date_bounds_nothing() -> None:
    clock = ServiceClock(30, lambda: 0.0)
    clock.answered("", 0.0, first=True)
    at = datetime(2099, 1, 1, tzinfo=UTC)
    clock.see(at)
    assert clock.latest == at
    assert clock.start(skip_latest=False) == at - timedelta(seconds=30)


@pytest.mark.parametrize(
    "date", ["", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"]
)
@pytest.mark.parametrize(
    "moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
)
def test_moments_at_the_end_of_time_are_reckoned_with(moment: datetime, date: str) -> None:
    """`0001-01-01` is what many programs write for "never"; a set may hold nothing else."""
    clock = ServiceClock(30.0, lambda: 5.0)
    clock.forget()
    clock.answered(date, 0.0, first=True)
    clock.see(moment)
    start = clock.start(skip_latest=False)
    assert start is not None
    assert start <= moment
    assert clock.set_back() is None


def test_a_moment_whose_instant_is_before_all_time_is_none() -> None:
    assert timestamp_of("0001-01-01T00:00:00+14:00") is None
