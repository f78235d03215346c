"""How much one answer may hold, and what a query is charged for."""

from __future__ import annotations

import pytest

from bridge.connector import Ask, Rows, System, request_sent
from bridge.gateway import Gateway
from bridge.gateway.limiter import Limiter
from bridge.model.errors import DeadlineExceeded, Rejected, RetryLater
from bridge.model.read_demands import ReadDemands
from bridge.model.specs import SystemLimits, WindowLimit
from bridge.observe import Notice, ReadRefused
from tests.connectors.polled import fake
from tests.gateway.test_limiter import SteppedClock
from tests.gateway.test_throttling import door, erp

__all__ = ["erp"]


class AskedReader(fake.FileReader):
    """Remembers what it was asked, and sends three requests a lookup."""

    def __init__(self, system: System, *, fails: bool = False) -> None:
        super().__init__(system)
        self.asks: list[Ask] = []
        self._fails = fails

    async def fetch(self, ask: Ask) -> Rows:
        self.asks.append(ask)
        for _ in range(3):
            request_sent()
        if self._fails:
            raise RetryLater("no answer came")
        return await super().fetch(ask)


def limited(erp: System, reader: fake.FileReader, max_rows: int) -> Gateway:
    return door(erp, reader, [], Limiter(SystemLimits(max_rows=max_rows)))


async def test_an_answer_with_more_rows_than_allowed_is_refused_and_never_cut(erp: System) -> None:
    reader = AskedReader(erp)
    gateway = limited(erp, reader, 10)
    with pytest.raises(
        Rejected, match=r"more than 10 rows of erp\.orders .*limits\.max_rows"
    ) as error:
        await gateway.query("orders", {}, 400)
    assert error.value.code == "over_limit"
    assert [ask.limit for ask in reader.asks] == [11]


async def test_an_answer_within_the_limit_is_whole_though_more_were_allowed(erp: System) -> None:
    gateway = limited(erp, AskedReader(erp), 500)
    assert len(await gateway.query("orders", {}, 10_000)) == 500
    assert len(await limited(erp, AskedReader(erp), 10).query("orders", {}, 10)) == 10


async def test_a_lookup_has_no_more_keys_than_an_answer_may_have_rows(erp: System) -> None:
    reader = AskedReader(erp)
    rows = await limited(erp, reader, 10).get_many("orders", range(25))
    assert all(rows)
    assert [len(ask.keys) for ask in reader.asks] == [10, 10, 5]


async def test_one_key_with_too_many_rows_fails_no_other(erp: System) -> None:
    gateway = limited(erp, AskedReader(erp), 1)
    with pytest.raises(Rejected, match="more than 1 rows"):
        await gateway.related("orders", await gateway.get("orders", 7), "lines")
    assert await gateway.get("lines", 14)


@pytest.mark.parametrize("fails", [False, True])
async def test_every_request_of_a_lookup_counts_also_of_one_that_fails(
    erp: System, fails: bool
) -> None:
    limiter = Limiter(SystemLimits(windows=(WindowLimit(1000, 300),)))
    gateway = door(erp, AskedReader(erp, fails=fails), [], limiter)
    if fails:
        with pytest.raises(RetryLater):
            await gateway.get("orders", 7)
    else:
        assert await gateway.get("orders", 7)
    assert limiter._control.ceilings._all[-1]._ended_sum == 3  # type: ignore[attr-defined]


async def test_a_read_that_cannot_be_answered_by_its_deadline_is_refused_at_once(
    erp: System,
) -> None:
    seen: list[Notice] = []
    limits = SystemLimits(windows=(WindowLimit(3, 3600),))
    limiter = Limiter(limits, system="erp", observer=seen.append)
    reader = AskedReader(erp)
    gateway = door(erp, reader, [], limiter)
    assert await gateway.get("orders", 1, ReadDemands(deadline=600))
    with pytest.raises(DeadlineExceeded, match="system 'erp' can't be asked in time") as error:
        await gateway.get("orders", 2, ReadDemands(deadline=600))
    assert error.value.after is not None
    assert 3000 < error.value.after <= 3600
    assert len(reader.asks) == 1
    [refused] = [notice for notice in seen if isinstance(notice, ReadRefused)]
    assert (refused.cause, refused.reason) == ("deadline", str(error.value))


async def test_a_deadline_is_compared_with_when_the_limits_let_the_next_query_start() -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(windows=(WindowLimit(1, 60),)), clock=clock, sleep=clock.sleep)
    limiter.release(await limiter.acquire())
    clock.now += 20
    for deadline in (clock.now + 39, clock.now - 1):
        with pytest.raises(DeadlineExceeded, match="the next query starts in 40 s") as error:
            limiter.check_deadline(deadline)
        assert error.value.after == 40
    limiter.check_deadline(clock.now + 41)


async def test_a_deadline_in_the_past_is_the_callers_own_where_nothing_stands_in_the_way() -> None:
    clock = SteppedClock()
    limiter = Limiter(SystemLimits(), clock=clock, sleep=clock.sleep)
    limiter.check_deadline(clock.now - 1)
    limiter.throttle(5, "busy")
    with pytest.raises(DeadlineExceeded, match="starts in 5 s"):
        limiter.check_deadline(clock.now + 4)
    limiter.check_deadline(clock.now + 6)
