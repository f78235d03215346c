"""Nobody succeeds an owner before its lease has ended by the owner's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.remote import lease_holder
from bridge.gateway.remote.lease import (
    LeaseRecord,
    LeaseWatch,
    OwnLease,
    dump_lease,
    load_lease,
)
from bridge.gateway.remote.lease_holder import LeaseHolder, LeaseReader, LeaseTerms
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry
from bridge.model.errors import Fenced, RetryLater
from tests.waiting import until

RECORDS = st.builds(
    LeaseRecord,
    st.integers(1, 1 << 40),
    st.text(max_size=20),
    st.text(max_size=20),
    st.floats(0.001, 1e6),
    st.integers(0, 1 << 60),
    st.booleans(),
)


@given(RECORDS)
def test_a_record_comes_out_as_it_went_in(record: LeaseRecord) -> None:
    assert load_lease(dump_lease(record)) == record


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        dump_lease(LeaseRecord(1, "a", "b", 0.0, 1)),
        b'{"generation":"1"}',
    ],
)
def test_another_record_is_no_lease(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a lease"):
        load_lease(value)


SPANS = st.floats(0, 30)


@given(
    st.floats(1, 20),
    st.lists(st.tuples(SPANS, SPANS, SPANS), min_size=1, max_size=8),
    st.floats(0.96, 1.04),
    st.floats(0.96, 1.04),
    st.floats(-1e6, 1e6),
)
def test_a_successor_is_never_early_whatever_the_delays_and_the_clocks(
    lease_s: float,
    renewals: list[tuple[float, float, float]],
    owner_rate: float,
    successor_rate: float,
    offset: float,
) -> None:
    """True time, in which both clocks are a little wrong. Renewals: pause, until the log took it, until
    the successor read it.
    """
    own, watch = OwnLease("erp", lease_s), LeaseWatch()
    true = 0.0
    for pause, taken, read in renewals:
        true += pause
        began = true
        true += taken
        if own.until > -inf and began * owner_rate >= own.until:
            break
        own.renewed(began * owner_rate)
        true += read
        watch.saw(LeaseRecord(1, "a", "b", lease_s, 0), true * successor_rate + offset)
    ends_by_owner = own.until / owner_rate
    ends_by_successor = (watch.ends_at - offset) / successor_rate
    assert ends_by_successor >= ends_by_owner - 1e-6


def test_who_released_is_succeeded_at_once() -> None:
    watch = LeaseWatch()
    assert (watch.ends_at, watch.next_generation) == (-inf, 1)
    watch.saw(LeaseRecord(4, "a", "b", 10.0, 0), 100.0)
    assert watch.ends_at == pytest.approx(111.0)
    assert watch.next_generation == 5
    watch.saw(LeaseRecord(4, "a", "b", 10.0, 0, released=True), 101.0)
    assert (watch.ends_at, watch.next_generation) == (-inf, 5)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    yield log
    await log.close()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def holder(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[str, Clock], LeaseHolder]]:
    monkeypatch.setattr(lease_holder, "READ_WAIT_S", 0.02)
    holders = []

    def make(instance: str, clock: Clock) -> LeaseHolder:
        async def sleep(seconds: float) -> None:
            end = clock.now + seconds
            while clock.now < end:
                await asyncio.sleep(0.005)

        terms = LeaseTerms("acme", "erp", instance, "erp.sock", 10.0)
        holders.append(LeaseHolder(log, terms, clock=clock, sleep=sleep))
        return holders[-1]

    yield make
    for each in holders:
        await each.release()


Make = Callable[[str, Clock], LeaseHolder]


async def test_the_second_waits_until_the_first_is_over(holder: Make) -> None:
    clock, theirs = Clock(), Clock()
    first, second = holder("first", clock), holder("second", theirs)
    assert await first.acquire() == 1
    acquiring = asyncio.create_task(second.acquire())
    await until(lambda: second.owner is not None)
    owner = second.owner
    assert owner is not None
    assert (owner.instance, owner.address, owner.generation) == ("first", "erp.sock", 1)
    theirs.now += 10.9
    done, _ = await asyncio.wait({acquiring}, timeout=0.2)
    assert not done
    first.check()
    theirs.now += 0.2
    assert await acquiring == 2
    second.check()


async def test_a_renewal_keeps_the_second_waiting_and_the_first_owning(holder: Make) -> None:
    clock, theirs = Clock(), Clock()
    first, second = holder("first", clock), holder("second", theirs)
    await first.acquire()
    keeping = asyncio.create_task(first.keep())
    acquiring = asyncio.create_task(second.acquire())
    await until(lambda: second.owner is not None)
    for _ in range(4):
        before = second.owner
        clock.now += 2.6
        await until(lambda last=before: second.owner is not last)  # type: ignore[misc]
        theirs.now += 9.0
    first.check()
    assert not acquiring.done()
    for task in (keeping, acquiring):
        task.cancel()
    await asyncio.gather(keeping, acquiring, return_exceptions=True)


async def test_a_lease_that_is_not_renewed_ends(holder: Make) -> None:
    clock = Clock()
    first = holder("first", clock)
    with pytest.raises(RetryLater):
        first.check()
    await first.acquire()
    clock.now += 9.9
    first.check()
    clock.now += 0.2
    with pytest.raises(RetryLater, match=r"ended 0\.1 s ago"):
        first.check()


async def test_one_that_slept_and_was_succeeded_notices(holder: Make) -> None:
    clock, theirs = Clock(), Clock()
    first, second = holder("first", clock), holder("second", theirs)
    await first.acquire()
    keeping = asyncio.create_task(first.keep())
    acquiring = asyncio.create_task(second.acquire())
    await until(lambda: second.owner is not None)
    theirs.now += 11.1
    assert await acquiring == 2
    # It still believes that it owns the system by its clock, which stood still, until it writes.
    clock.now += 2.6
    with pytest.raises(Fenced):
        await keeping
    with pytest.raises(RetryLater, match="taken it over"):
        first.check()
    await first.release()
    again = holder("first", clock)
    acquiring = asyncio.create_task(again.acquire())
    await until(lambda: again.owner is not None and again.owner.instance == "second")
    acquiring.cancel()
    await asyncio.gather(acquiring, return_exceptions=True)


async def test_one_that_ends_in_order_is_succeeded_at_once(holder: Make) -> None:
    clock = Clock()
    first = holder("first", clock)
    await first.acquire()
    await first.release()
    with pytest.raises(RetryLater, match="released"):
        first.check()
    assert await holder("second", clock).acquire() == 2


async def test_whoever_takes_over_a_living_owner_waits_for_it(
    holder: Make, log: EmbeddedLog
) -> None:
    """Two successors that decide in the same instant: the second fences the first, which has begun."""
    clock = Clock()
    late = holder("late", clock)
    early = holder("early", clock)
    producer_of_log = log.producer

    async def overtaken(name: str) -> object:
        log.producer = producer_of_log  # type: ignore[method-assign]
        await early.acquire()
        return await producer_of_log(name)

    log.producer = overtaken  # type: ignore[method-assign, assignment]
    acquiring = asyncio.create_task(late.acquire())
    await until(lambda: late.owner is not None)
    early.check()
    done, _ = await asyncio.wait({acquiring}, timeout=0.2)
    assert not done
    clock.now += 11.1
    assert await acquiring == 2
    with pytest.raises(RetryLater):
        early.check()


async def test_records_of_other_systems_and_programs_are_skipped(
    holder: Make, log: EmbeddedLog
) -> None:
    clock = Clock()
    await holder("first", clock).acquire()
    await log.append(
        "_acme.gateways",
        [
            Entry(b"crm", dump_lease(LeaseRecord(90, "x", "y", 1.0, 0))),
            Entry(b"erp", b"rubbish"),
            Entry(None, b"rubbish"),
            Entry(b"erp", None),
        ],
    )
    reader = LeaseReader(log, "acme", "erp", clock)
    watch = await reader.read_to_end()
    await reader.close()
    assert watch.record is not None
    assert (watch.record.generation, watch.record.instance) == (1, "first")


async def test_a_log_that_takes_nothing_ends_the_lease_at_its_time(
    holder: Make, log: EmbeddedLog
) -> None:
    clock = Clock()
    first = holder("first", clock)
    await first.acquire()

    class Refusing:
        def transaction(self) -> object:
            raise RetryLater("the log is away")

        async def close(self) -> None:
            return None

    producer, first._producer = first._producer, Refusing()  # type: ignore[assignment]
    keeping = asyncio.create_task(first.keep())
    for _ in range(3):
        clock.now += 2.6
        await asyncio.sleep(0.02)
        first.check()
    clock.now += 2.6
    with pytest.raises(RetryLater, match="has not taken a renewal"):
        await keeping
    with suppress(RetryLater):
        await producer.close()  # type: ignore[union-attr]
