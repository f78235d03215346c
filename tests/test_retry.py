"""Trying again: which errors, how often, and who hears of it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bridge.model.errors import Rejected, RetryLater
from bridge.retry import RetryPolicy, retry

PATIENT = RetryPolicy(give_up_after_s=60.0)


class FlakyCall:
    """Raises these errors one after the other, then returns how often it was called."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return self.calls


async def _no_wait(seconds: float) -> None:
    assert 0 <= seconds <= PATIENT.max_wait_s


async def test_what_may_pass_is_tried_again_and_each_failure_reported() -> None:
    heard: list[tuple[int, str]] = []
    call = FlakyCall(RetryLater("away"), RetryLater())
    result = await retry(
        call,
        RetryPolicy(),
        report=lambda failures, reason: heard.append((failures, reason)),
        sleep=_no_wait,
    )
    assert result == 3
    assert heard == [(1, "away"), (2, "RetryLater")]


async def test_every_other_error_is_raised_at_once() -> None:
    call = FlakyCall(Rejected("no", "never"))
    with pytest.raises(Rejected):
        await retry(call, PATIENT, sleep=_no_wait)
    assert call.calls == 1


async def test_the_last_error_is_raised_when_patience_ends() -> None:
    with pytest.raises(RetryLater, match="away"):
        await retry(FlakyCall(RetryLater("away")), RetryPolicy(give_up_after_s=0.0), sleep=_no_wait)


async def test_what_is_tried_without_end_has_to_report() -> None:
    with pytest.raises(ValueError, match="report"):
        await retry(FlakyCall(), RetryPolicy())


async def test_no_try_comes_sooner_than_the_other_side_asked_for() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    call = FlakyCall(RetryLater("busy", after=7.0), RetryLater("busy"))
    await retry(call, RetryPolicy(give_up_after_s=60.0), sleep=sleep)
    assert waits[0] == 7.0
    assert waits[1] <= 1.0


async def test_patience_ends_at_once_where_the_other_side_asks_for_more() -> None:
    """Waiting for longer than the caller has patience could only end in the same error, later."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    call = FlakyCall(RetryLater("busy", after=300.0))
    with pytest.raises(RetryLater, match="busy"):
        await retry(call, RetryPolicy(give_up_after_s=60.0), sleep=sleep)
    assert waits == []


def test_there_is_no_other_loop() -> None:
    """A loop of tenacity's own would have to report, to end and to heed `RetryLater.after` by itself."""
    root = Path(__file__).parents[1]
    loops = [
        str(file.relative_to(root))
        for file in [*root.glob("bridge/**/*.py"), *root.glob("connectors/**/*.py")]
        if "Retrying" in (text := file.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Retrying")
    ]
    assert loops == ["bridge/retry.py"]
