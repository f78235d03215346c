"""A waiter is to tasks, `gather` and `wait_for` what a future of asyncio is."""

from __future__ import annotations

import asyncio
import traceback
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_counts import examples
from tests.gateway.waiters_forms import FORMS, IDS

NUMBER: ContextVar[int] = ContextVar("NUMBER", default=0)
pytestmark = pytest.mark.parametrize("form", FORMS, ids=IDS)


class AnsweredKeys:
    """Waiters of the keys of one query."""

    def __init__(self, form: ModuleType, *keys: Any) -> None:
        loop = asyncio.get_running_loop()
        waiting = form.WaitingKeys()
        self.waiters = [waiting.add(loop, key) for key in keys]
        self.query = form.AwaitedQuery(loop, waiting.take(100, None), asyncio.current_task())

    def answer(self, **values: Any) -> None:
        self.query.answer(list(values), list(values.values()))

    def fail(self, key: Any, error: Exception) -> None:
        self.query.fail([key], error)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def value_of(waiter: Any) -> Any:
    return await waiter


async def test_tasks_gather_and_wait_for_take_it_for_a_future(form: ModuleType) -> None:
    query = AnsweredKeys(form, "a", "b", "c", "d")
    a, b, c, d = query.waiters
    assert asyncio.isfuture(a)
    assert (a.done(), a.cancelled(), a.get_loop()) == (False, False, asyncio.get_running_loop())
    tasks = [
        asyncio.create_task(value_of(a)),
        asyncio.ensure_future(asyncio.gather(b, value_of(c))),
    ]
    tasks.append(asyncio.create_task(asyncio.wait_for(d, 60)))
    await settle()
    query.answer(a=1, b=None, c=(3,), d=StopIteration(4))
    *values, ended = await asyncio.gather(*tasks)
    assert values == [1, [None, (3,)]]
    assert isinstance(ended, StopIteration)
    # Again, once it is done.
    assert await a == 1
    assert await asyncio.shield(c) == (3,)


async def test_a_waiter_that_is_timed_out_is_cancelled_and_calls_nobody(form: ModuleType) -> None:
    query = AnsweredKeys(form, "a")
    [waiter] = query.waiters
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiter, 0.001)
    assert waiter.cancelled()
    assert waiter.remove_done_callback(print) == 0
    query.answer(a=1)
    with pytest.raises(asyncio.CancelledError):
        waiter.result()


async def test_a_cancelled_task_hears_so_at_once_with_the_message(form: ModuleType) -> None:
    query = AnsweredKeys(form, "a", "a")
    task, other = (asyncio.create_task(value_of(waiter)) for waiter in query.waiters)
    await settle()
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError, match="enough"):
        await task
    assert not query.waiters[1].done()
    query.answer(a=1)
    assert await other == 1


async def test_a_task_cancelled_after_the_answer_came_is_cancelled(form: ModuleType) -> None:
    query = AnsweredKeys(form, "a")
    task = asyncio.create_task(value_of(query.waiters[0]))
    await settle()
    query.answer(a=1)
    assert not query.waiters[0].cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_before_it_is_done_it_has_no_result(form: ModuleType) -> None:
    [waiter] = AnsweredKeys(form, "a").waiters
    for ask in (waiter.result, waiter.exception):
        with pytest.raises(asyncio.InvalidStateError):
            ask()


async def test_an_error_shows_each_reader_where_it_is_from_and_nobody_elses_lines(
    form: ModuleType,
) -> None:
    query = AnsweredKeys(form, *"aaa")
    tasks = [asyncio.create_task(value_of(waiter)) for waiter in query.waiters]
    await settle()
    try:
        int("broken")
    except ValueError as error:
        query.fail("a", error)
    lengths = set()
    for task in tasks:
        with pytest.raises(ValueError, match="broken") as raised:
            await task
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(lengths) == 1


async def test_every_reader_wakes_in_its_own_context(form: ModuleType) -> None:
    query = AnsweredKeys(form, *"abc")

    async def numbered(waiter: Any, number: int) -> int:
        NUMBER.set(number)
        await waiter
        return NUMBER.get()

    tasks = [asyncio.create_task(numbered(w, at)) for at, w in enumerate(query.waiters)]
    await settle()
    query.answer(a=1, b=1, c=1)
    assert await asyncio.gather(*tasks) == [0, 1, 2]


async def test_an_error_of_a_callback_is_nothing_to_the_others(form: ModuleType) -> None:
    loop, heard = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    query = AnsweredKeys(form, *"ab")
    a, b = query.waiters
    error = ValueError("a callback's")

    def fail(_: Any) -> None:
        raise error

    a.add_done_callback(fail)
    called: list[Any] = []
    b.add_done_callback(called.append)
    query.answer(a=1, b=2)
    await settle()
    assert heard == [error]
    assert called == [b]


def test_what_ends_the_program_leaves_the_others_awake(form: ModuleType) -> None:
    loop = asyncio.new_event_loop()
    called: list[Any] = []

    async def begin() -> None:
        query = AnsweredKeys(form, *"abc")
        a, b, c = query.waiters

        def end(_: Any) -> None:
            raise KeyboardInterrupt

        a.add_done_callback(end)
        b.add_done_callback(called.append)
        c.add_done_callback(called.append)
        query.answer(a=1, b=2, c=3)
        await asyncio.Event().wait()

    task = loop.create_task(begin())
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_forever()
        loop.run_until_complete(settle())
        assert [waiter.result() for waiter in called] == [2, 3]
    finally:
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()


STEPS = st.lists(
    st.sampled_from(["add 0", "add 1", "remove 0", "remove 1", "cancel", "answer", "fail", "turn"]),
    max_size=12,
)


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(steps=STEPS)
def test_it_behaves_as_a_future_of_asyncio_does(form: ModuleType, steps: list[str]) -> None:
    error = ValueError("no")

    async def run(is_future: bool) -> list[Any]:
        seen: list[Any] = []
        query = AnsweredKeys(form, "a")
        future: Any = asyncio.get_running_loop().create_future() if is_future else query.waiters[0]
        callbacks = [
            lambda of: seen.append((0, of is future)),
            lambda of: seen.append((1, of is future)),
        ]
        for step in steps:
            name, _, number = step.partition(" ")
            if name == "add":
                future.add_done_callback(callbacks[int(number)])
            elif name == "remove":
                seen.append(future.remove_done_callback(callbacks[int(number)]))
            elif name == "cancel":
                seen.append(future.cancel())
            elif name == "turn":
                await asyncio.sleep(0)
            elif name == "answer" and not future.done():
                future.set_result(1) if is_future else query.answer(a=1)
            elif name == "fail" and not future.done():
                future.set_exception(error) if is_future else query.fail("a", error)
            seen.append((future.done(), future.cancelled()))
        await settle()
        try:
            seen.append(future.result())
        except (asyncio.CancelledError, asyncio.InvalidStateError, ValueError) as raised:
            seen.append(type(raised))
        return seen

    assert asyncio.run(run(is_future=False)) == asyncio.run(run(is_future=True))
