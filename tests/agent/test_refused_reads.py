"""A read that a person has to set something up for is waited for; a refusal of one row is not."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.agent.bridge_calls import OTHER_ROWS_ANSWERED_WITHIN_S, BridgeReads
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.read_demands import ReadDemands


class InlineCalls:
    """Runs what it is given, in the loop that asks."""

    async def call(self, work: Any) -> Any:
        return await work()


class RefusingSystem:
    """Refuses reads of these keys; `*`: of all."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

    async def get(self, entity: str, key: str, _: ReadDemands) -> str:
        if self.refused & {key, "*"}:
            raise ConfigurationError(f"permission denied for {key}")
        return f"row {key} of {entity}"


class ManualClock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def refusal(reads: BridgeReads, key: str) -> type[Exception]:
    with pytest.raises((RetryLater, ConfigurationError), match="permission denied") as caught:
        await reads.get("erp.customer", key)
    if isinstance(caught.value, RetryLater):
        assert caught.value.system == "erp"
    return caught.type


async def test_a_right_that_is_missing_is_waited_for_by_every_event() -> None:
    """A thousand events became a thousand dead letters."""
    system = RefusingSystem()
    reads = BridgeReads(InlineCalls(), system, ManualClock())  # type: ignore[arg-type]
    assert await reads.get("erp.customer", "1")
    system.refused = {"*"}
    assert {await refusal(reads, str(number)) for number in range(1000)} == {RetryLater}
    system.refused = set()
    assert await reads.get("erp.customer", "1")


async def test_a_row_that_is_refused_while_others_are_answered_is_not_waited_for() -> None:
    system = RefusingSystem()
    system.refused = {"7"}
    clock = ManualClock()
    reads = BridgeReads(InlineCalls(), system, clock)  # type: ignore[arg-type]
    assert await refusal(reads, "7") is RetryLater
    assert await refusal(reads, "7") is RetryLater, "nobody was answered since"
    assert await reads.get("erp.customer", "1")
    clock.now += 30
    assert await refusal(reads, "7") is ConfigurationError


async def test_what_was_answered_long_ago_says_nothing_of_a_refusal() -> None:
    system = RefusingSystem()
    clock = ManualClock()
    reads = BridgeReads(InlineCalls(), system, clock)  # type: ignore[arg-type]
    system.refused = {"*"}
    await refusal(reads, "1")
    system.refused = set()
    assert await reads.get("erp.customer", "1")
    clock.now += OTHER_ROWS_ANSWERED_WITHIN_S + 1
    system.refused = {"*"}
    assert await refusal(reads, "2") is RetryLater
