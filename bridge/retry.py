"""The one retry loop; its policy, report and sleep are parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_never,
    wait_random_exponential,
)
from tenacity.wait import wait_base

from bridge.model.error_text import error_message, error_name
from bridge.model.errors import RetryLater

T = TypeVar("T")


def is_retry_later(error: BaseException) -> bool:
    """Whether the other side is unavailable or busy."""
    return isinstance(error, RetryLater)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which errors are retried, and for how long.

    first_wait_s: upper bound of the first wait; it doubles with each further one. Waits are random,
        so that many clients that wait for one thing don't return together
    max_wait_s: upper bound of any wait, unless the other side asked for a longer one
        (`RetryLater.after`)
    give_up_after_s: the last error is raised after that many seconds, or at once if the other side
        asked for a wait that ends later; None: never
    may_pass: which errors are retried; all others are raised at once
    """

    first_wait_s: float = 0.1
    max_wait_s: float = 1.0
    give_up_after_s: float | None = None
    may_pass: Callable[[BaseException], bool] = is_retry_later


class ReportsFailure(Protocol):
    """Called after each failed try, before the wait."""

    def __call__(self, failures: int, reason: str) -> None:
        """`failures`: how many in a row; `reason`: the last one's text, never empty."""


async def retry(
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    *,
    report: ReportsFailure | None = None,
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
) -> T:
    """Call `call` until it succeeds, and return its result.

    report: mandatory if the policy never gives up: an endless wait has to be reported
    sleep: an error that it raises ends the loop

    Raises the last error of `call`. May be cancelled at any time.
    """
    if policy.give_up_after_s is None and report is None:
        raise ValueError("a policy that never gives up needs `report`")

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if report is not None and error is not None:
            report(state.attempt_number, error_message(error) or error_name(error))

    limit_s = policy.give_up_after_s
    async for attempt in AsyncRetrying(
        stop=stop_never if limit_s is None else _no_try_within(limit_s),
        wait=_at_least(wait_random_exponential(policy.first_wait_s, policy.max_wait_s)),
        retry=retry_if_exception(policy.may_pass),
        before_sleep=before_sleep,
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("tenacity ends with a result or an error")


def _at_least(wait: wait_base) -> Callable[[RetryCallState], float]:
    """`wait`, or longer where the other side says for how long it wants to be left alone."""
    return lambda state: max(wait(state), _requested_wait_s(state))


def _no_try_within(limit_s: float) -> Callable[[RetryCallState], bool]:
    """Whether the next try would come later than `limit_s` after the first one."""
    return lambda state: (state.seconds_since_start or 0.0) + _requested_wait_s(state) >= limit_s


def _requested_wait_s(state: RetryCallState) -> float:
    """How long the other side wants to be left alone; 0.0 where it doesn't say."""
    error = state.outcome.exception() if state.outcome is not None else None
    after = error.after if isinstance(error, RetryLater) else None
    return after or 0.0
