"""A system that fails again and again is left alone, and whoever asks hears why at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.connector import Ask, Rows, System
from bridge.gateway.limiter import Limiter
from bridge.gateway.limits.circuit_breaker import MAX_FAILURES
from bridge.model.errors import (
    ConfigurationError,
    DeadlineExceeded,
    Rejected,
    RetryLater,
    SystemBusy,
)
from bridge.model.specs import SystemLimits
from bridge.observe import BreakerMoved, Notice, ReadRefused
from tests.connectors.polled import fake
from tests.gateway.test_limiter import SteppedClock, until
from tests.gateway.test_throttling import door, erp

__all__ = ["erp"]


class FailingReader(fake.FileReader):
    """Fails with `error` while there is one; counts what it is asked."""

    def __init__(self, system: System, error: Exception | None) -> None:
        super().__init__(system)
        self.error = error
        self.queries = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, ask: Ask) -> Rows:
        self.queries += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().fetch(ask)


async def outcomes(gateway: Any, count: int) -> list[Any]:
    """Of reads one after the other."""
    return [
        (await asyncio.gather(gateway.get("orders", number), return_exceptions=True))[0]
        for number in range(count)
    ]


async def test_after_five_failures_nothing_is_sent_and_the_return_is_noticed_by_one_probe(
    erp: System,
) -> None:
    seen: list[Notice] = []
    clock = SteppedClock()
    limiter = Limiter(
        SystemLimits(), system="erp", observer=seen.append, clock=clock, sleep=clock.sleep
    )
    reader = FailingReader(erp, RetryLater("connection refused"))
    gateway = door(erp, reader, seen, limiter)
    await outcomes(gateway, MAX_FAILURES)
    refused = await outcomes(gateway, 3)
    assert reader.queries == MAX_FAILURES
    assert all(isinstance(each, RetryLater) and 0 < each.after <= 0.5 for each in refused)  # type: ignore[operator]
    assert "its last 5 queries failed, since 0 s (connection refused)" in str(refused[0])
    clock.now += 1
    reader.error = None
    assert all(row.note for row in await outcomes(gateway, 3))
    moves = [notice.state for notice in seen if isinstance(notice, BreakerMoved)]
    assert moves == ["open", "closed"]
    refusals = [notice for notice in seen if isinstance(notice, ReadRefused)]
    assert [(notice.work, notice.cause) for notice in refusals] == [("agents", "unavailable")] * 3


async def test_while_one_query_probes_nobody_else_is_sent(erp: System) -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(), clock=clock, sleep=clock.sleep)
    reader = FailingReader(erp, RetryLater("connection refused"))
    gateway = door(erp, reader, [], limiter)
    await outcomes(gateway, MAX_FAILURES)
    clock.now += 1
    reader.gate.clear()
    reader.error = None
    probe = asyncio.create_task(gateway.get("orders", 1))
    await until(lambda: reader.queries == MAX_FAILURES + 1)
    with pytest.raises(RetryLater, match="one query probes it now"):
        await gateway.query("orders", {"no": 2}, 1)
    reader.gate.set()
    assert await probe
    assert await gateway.query("orders", {"no": 2}, 1)


async def test_whoever_waits_for_a_connection_is_refused_when_the_system_turns_out_to_be_away(
    erp: System,
) -> None:
    reader = FailingReader(erp, RetryLater("connection refused"))
    gateway = door(erp, reader, [], Limiter(SystemLimits(1)))
    await outcomes(gateway, MAX_FAILURES - 1)
    reader.gate.clear()
    last = asyncio.create_task(gateway.get("orders", 1))
    await until(lambda: reader.queries == MAX_FAILURES)
    waiting = asyncio.create_task(gateway.query("orders", {"no": 2}, 1))
    await until(lambda: len(gateway.limiter._waiting) == 1)
    reader.gate.set()
    answers = await asyncio.gather(last, waiting, return_exceptions=True)
    assert ["not asked" in str(answer) for answer in answers] == [False, True]
    assert reader.queries == MAX_FAILURES


async def test_whoever_waits_is_refused_at_once_and_not_when_the_query_ends() -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(1), clock=clock, sleep=clock.sleep)
    query = await limiter.acquire()
    waiting = asyncio.create_task(limiter.acquire())
    await asyncio.sleep(0)
    for _ in range(MAX_FAILURES):
        limiter.failed("connection refused", query)
    with pytest.raises(RetryLater, match="not asked"):
        await waiting


async def test_a_probe_that_was_never_sent_is_followed_by_another() -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(2), clock=clock, sleep=clock.sleep)
    query = await limiter.acquire()
    for _ in range(MAX_FAILURES):
        limiter.failed("connection refused", query)
    limiter.release(query)
    clock.now += 1
    limiter.release(await limiter.acquire())
    probe = await limiter.acquire()
    assert limiter.answered(probe)
    assert limiter.breaker.state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        Rejected("bad_key", "no such column"),
        SystemBusy("lock timeout"),
        DeadlineExceeded("the caller's"),
        ConfigurationError("no permission"),
        RetryLater("503: maintenance", after=0.001),
    ],
)
async def test_a_system_that_answers_is_not_away(erp: System, error: Exception) -> None:
    reader = FailingReader(erp, error)
    gateway = door(erp, reader, [], Limiter(SystemLimits()))
    await outcomes(gateway, 3 * MAX_FAILURES)
    assert reader.queries == 3 * MAX_FAILURES
    assert gateway.limiter.breaker.state == "closed"


@pytest.mark.parametrize("between", [Rejected("bad_key", "no"), SystemBusy("lock timeout"), None])
async def test_an_answer_ends_the_row_of_failures(erp: System, between: Exception | None) -> None:
    reader = FailingReader(erp, None)
    gateway = door(erp, reader, [], Limiter(SystemLimits()))
    for _ in range(3):
        reader.error = RetryLater("connection refused")
        await outcomes(gateway, MAX_FAILURES - 1)
        reader.error = between
        await outcomes(gateway, 1)
    assert reader.queries == 3 * MAX_FAILURES
