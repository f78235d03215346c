"""What status says of a system's protection."""

from __future__ import annotations

import asyncio
import json

import pytest

from bridge.gateway.limiter import Limiter
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.limits.circuit_breaker import MAX_FAILURES
from bridge.model.errors import RetryLater
from bridge.model.specs import SystemLimits
from bridge.wiring.limits_section import limits_section
from tests.gateway.test_limiter import SteppedClock


async def test_it_says_what_runs_waits_and_was_refused() -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(2), clock=clock, sleep=clock.sleep)
    queries = [await limiter.acquire() for _ in range(2)]
    waiting = asyncio.create_task(limiter.acquire(WorkClass.SURFACES))
    await asyncio.sleep(0)
    with pytest.raises(RetryLater):
        await limiter.acquire(deadline=clock.now - 1)
    limiter.system_refused()
    section = limits_section(limiter.state())
    assert section.summary == (
        "2 of 1 connections in use; 1 less than allowed, since it refused; waiting: 1 of surfaces; "
        "refused since the start: 1 deadline"
    )
    assert section.problem == ""
    assert json.loads(json.dumps(section.facts))["waiting"] == {"surfaces": 1}
    for query in queries:
        limiter.release(query)
    await waiting


async def test_a_pause_is_no_problem_and_an_unavailable_system_is() -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(4), clock=clock, sleep=clock.sleep)
    query = await limiter.acquire()
    limiter.throttle(30, "429: busy")
    assert limits_section(limiter.state()).summary.endswith("paused for 30 s more (429: busy)")
    assert not limits_section(limiter.state()).problem
    for _ in range(MAX_FAILURES):
        limiter.failed("connection refused", query)
    clock.now += 5
    assert limits_section(limiter.state()).problem.startswith(
        "unavailable since 5 s: 5 queries failed in a row (connection refused); the next probe may "
    )
