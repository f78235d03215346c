"""Random reads at once, with keys that are refused, cancelled readers and few connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway import batcher as batcher_module
from bridge.gateway.batcher import MAX_TURNS, Batcher
from bridge.gateway.limiter import Limiter
from bridge.model.contained_errors import EscapingError
from bridge.model.errors import Rejected, RetryLater
from bridge.model.specs import SystemLimits
from tests.example_counts import examples
from tests.gateway.waiters_forms import FORMS, IDS
from tests.waiting import WAIT_TIMEOUT_S

KEYS = st.integers(0, 11)


@pytest.fixture(autouse=True, scope="module", params=FORMS, ids=IDS)
def _form(request: pytest.FixtureRequest) -> Iterator[None]:
    """The waiters in each of their forms."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AwaitedQuery", "WaitingKeys"):
            patch.setattr(batcher_module, name, getattr(request.param, name))
        yield


@dataclass(frozen=True)
class KeyRead:
    """One read: of `keys` (a single one: `load`), begun and cancelled after so many turns."""

    keys: list[int]
    is_single: bool
    begins: int
    cancelled: int | None


CALLERS = st.builds(
    KeyRead,
    st.lists(KEYS, min_size=1, max_size=6),
    st.booleans(),
    st.integers(0, 12),
    st.none() | st.integers(0, 12),
)


@dataclass
class TimedSource:
    """Answers even keys by (key, when it was asked for); refuses poisonous ones after some turns."""

    poison: frozenset[int]
    turns: int
    max_keys: int
    clock: Any = field(default_factory=lambda: count(1))
    queries: list[list[int]] = field(default_factory=list)
    cancelled: int = 0

    async def fetch(self, keys: list[int], waiting: int) -> list[tuple[int, int] | None]:
        begun = next(self.clock)
        assert 0 < len(keys) <= self.max_keys
        assert len(set(keys)) == len(keys)
        assert waiting >= len(keys)
        self.queries.append(list(keys))
        try:
            for _ in range(self.turns):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if not self.poison.isdisjoint(keys):
            raise Rejected("bad_key", f"refused: {sorted(self.poison.intersection(keys))}")
        return [(key, begun) if key % 2 == 0 else None for key in keys]


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def read(batcher: Batcher[int, tuple[int, int]], caller: KeyRead, source: TimedSource) -> Any:
    """When it began, and the values of its keys."""
    await turns(caller.begins)
    begun_at = next(source.clock)
    keys = caller.keys[:1] if caller.is_single else caller.keys
    try:
        if caller.is_single:
            return begun_at, [await batcher.load(keys[0])]
        return begun_at, await batcher.load_many(keys)
    except asyncio.CancelledError:
        batcher.leave()
        raise


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(
    callers=st.lists(CALLERS, min_size=1, max_size=25),
    poison=st.frozensets(KEYS, max_size=3),
    took=st.integers(0, 6),
    max_keys=st.integers(1, 8),
    connections=st.integers(1, 3),
)
def test_each_reader_has_what_it_would_have_alone(
    callers: list[KeyRead], poison: frozenset[int], took: int, max_keys: int, connections: int
) -> None:
    source = TimedSource(poison, took, max_keys)
    limiter = Limiter(SystemLimits(connections))
    batcher = Batcher(source.fetch, limiter, max_keys)

    async def run() -> list[Any]:
        tasks = [asyncio.create_task(read(batcher, caller, source)) for caller in callers]

        async def cancel(task: asyncio.Task[Any], after: int) -> None:
            await turns(after)
            task.cancel()

        cancels = [
            cancel(task, caller.cancelled)
            for task, caller in zip(tasks, callers, strict=True)
            if caller.cancelled is not None
        ]
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            answers = await asyncio.gather(*tasks, *cancels, return_exceptions=True)
            # Every connection is back.
            for _ in range(connections):
                await limiter.acquire()
        return answers[: len(tasks)]

    for caller, answer in zip(callers, asyncio.run(run()), strict=True):
        check_answer(caller, answer, poison)
    requested = {key for caller in callers for key in caller.keys}
    assert {key for query in source.queries for key in query} <= requested


def check_answer(caller: KeyRead, answer: Any, poison: frozenset[int]) -> None:
    """Against what each key is by itself."""
    keys = caller.keys[:1] if caller.is_single else caller.keys
    if isinstance(answer, asyncio.CancelledError):
        assert caller.cancelled is not None
    elif poison.isdisjoint(keys):
        begun_at, values = answer
        assert [value and value[0] for value in values] == [
            key if key % 2 == 0 else None for key in keys
        ]
        assert all(value is None or value[1] > begun_at for value in values)
    else:
        assert isinstance(answer, Rejected)
        # Only keys of its own are named: it was queried until they were alone.
        [named] = str(answer).partition("[")[2].rstrip("]").split(",")
        assert int(named) in poison.intersection(keys)


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(size=st.integers(1, 64), poison=st.sets(st.integers(0, 63), max_size=3))
def test_a_refused_key_costs_at_most_twice_the_logarithm_more(size: int, poison: set[int]) -> None:
    source = TimedSource(frozenset(key for key in poison if key < size), 0, 64)
    batcher = Batcher(source.fetch, Limiter(SystemLimits()), 64)

    async def run() -> list[Any]:
        reads = (read(batcher, KeyRead([key], True, 0, None), source) for key in range(size))
        return await asyncio.gather(*reads, return_exceptions=True)

    answers = asyncio.run(run())
    assert {key for key, answer in enumerate(answers) if isinstance(answer, Rejected)} == (
        source.poison
    )
    levels = (size - 1).bit_length()
    assert len(source.queries) <= 1 + 2 * levels * len(source.poison)


def batcher_over(source: TimedSource, connections: int = 1) -> Batcher[int, tuple[int, int]]:
    return Batcher(source.fetch, Limiter(SystemLimits(connections)), source.max_keys)


async def test_a_query_goes_after_a_turn_without_new_keys() -> None:
    source = TimedSource(frozenset(), 0, 100)
    batcher = batcher_over(source)
    late = [KeyRead([key], True, key, None) for key in range(MAX_TURNS - 2)]
    await asyncio.gather(*(read(batcher, caller, source) for caller in late))
    assert source.queries == [list(range(MAX_TURNS - 2))]


async def test_a_query_goes_though_each_turn_brings_new_keys() -> None:
    source = TimedSource(frozenset(), 0, 1000)
    batcher = batcher_over(source)
    late = [KeyRead([key], True, key, None) for key in range(10 * MAX_TURNS)]
    first = asyncio.create_task(read(batcher, late[0], source))
    others = [asyncio.create_task(read(batcher, caller, source)) for caller in late[1:]]
    await first
    assert len(source.queries[0]) <= MAX_TURNS + 2
    await asyncio.gather(*others)


async def test_a_query_is_cancelled_once_all_its_readers_are_and_no_sooner() -> None:
    source = TimedSource(frozenset(), 1000, 100)
    batcher = batcher_over(source)
    callers = [KeyRead([1], True, 0, None)] * 2 + [KeyRead([1, 2], False, 0, None)]
    tasks = [asyncio.create_task(read(batcher, caller, source)) for caller in callers]
    while not source.queries:
        await asyncio.sleep(0)
    for number, task in enumerate(tasks, 1):
        task.cancel()
        await turns(3)
        assert source.cancelled == (number == len(tasks))
    # Its connection is free.
    source.turns = 0
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await read(batcher, KeyRead([2], True, 0, None), source)


async def test_halves_that_nobody_waits_for_are_not_asked() -> None:
    source = TimedSource(frozenset({0}), 0, 100)
    batcher = batcher_over(source)
    with pytest.raises(Rejected):
        await read(batcher, KeyRead(list(range(8)), False, 0, None), source)
    await turns(20)
    assert source.queries == [list(range(8)), [0, 1, 2, 3], [0, 1], [0]]


async def test_keys_of_one_group_in_several_queries_are_one_answer() -> None:
    source = TimedSource(frozenset(), 1, 3)
    batcher = batcher_over(source, connections=2)
    _, values = await read(batcher, KeyRead([2, 0, 2, 4, 6, 8, 1], False, 0, None), source)
    assert [value and value[0] for value in values] == [2, 0, 2, 4, 6, 8, None]
    assert sorted(map(len, source.queries)) == [3, 3]


async def test_a_failure_of_a_query_reaches_no_group_whose_keys_it_has_answered() -> None:
    """A group waits for keys of other queries, too."""
    source = TimedSource(frozenset(), 0, 4)

    async def fetch(keys: list[int], waiting: int) -> list[tuple[int, int] | None]:
        if 2 in keys:
            raise Rejected("bad_key", "two") if len(keys) == 4 else SystemExit(1)
        return await source.fetch(keys, waiting)

    batcher = Batcher(fetch, Limiter(SystemLimits(1)), 4)
    callers = [KeyRead([key], True, 0, None) for key in range(4)]
    group = KeyRead([0, 8], False, 0, None)
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        answers = await asyncio.gather(
            *(read(batcher, caller, source) for caller in [*callers, group]), return_exceptions=True
        )
    assert [isinstance(answer, EscapingError) for answer in answers] == [
        False, False, True, True, False,
    ]  # fmt: skip
    assert [value[0] for value in answers[-1][1]] == [0, 8]  # type: ignore[index]


@pytest.mark.parametrize("error", [RetryLater("paused"), SystemExit(1)], ids=["Retry", "Exit"])
async def test_whatever_keeps_a_query_from_starting_is_answered(error: BaseException) -> None:
    source = TimedSource(frozenset(), 0, 2)
    limiter = Limiter(SystemLimits(1))
    batcher = Batcher(source.fetch, limiter, 2)
    acquire = limiter.acquire

    async def fail() -> None:
        raise error

    limiter.acquire = fail  # type: ignore[method-assign, assignment]
    callers = [KeyRead([key], True, 0, None) for key in range(3)]
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        answers = await asyncio.gather(
            *(read(batcher, caller, source) for caller in callers), return_exceptions=True
        )
        assert {type(answer) for answer in answers} <= {RetryLater, EscapingError}
        limiter.acquire = acquire  # type: ignore[method-assign]
        assert await read(batcher, callers[0], source)


async def test_closing_answers_a_group_and_later_reads() -> None:
    source = TimedSource(frozenset(), 1000, 2)
    batcher = batcher_over(source)
    group = asyncio.create_task(read(batcher, KeyRead([0, 1, 2], False, 0, None), source))
    while not source.queries:
        await asyncio.sleep(0)
    await batcher.close()
    with pytest.raises(RetryLater):
        await group
    for is_single in (True, False):
        with pytest.raises(RetryLater):
            await read(batcher, KeyRead([0], is_single, 0, None), source)
