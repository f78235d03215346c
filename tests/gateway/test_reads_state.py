"""A system whose reads fail is said to at once, whoever reads it, and so is the end of it."""

from __future__ import annotations

import pytest

from bridge.connector import Ask, Rows
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.observe import Notice, PartState
from tests.gateway.memory_reader import MemoryReader
from tests.gateway.test_gateway import gateway, legacy


async def test_a_refused_login_is_told_at_its_first_read_and_so_is_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody heard of it for half a minute, and all metrics were green."""
    reader = legacy()
    refusals: list[Exception] = [ConfigurationError("refused"), RetryLater("no answer")]
    answer = reader.fetch

    async def fetch(ask: Ask) -> Rows:
        if refusals:
            raise refusals.pop(0)
        return await answer(ask)

    monkeypatch.setattr(reader, "fetch", fetch)
    notices: list[Notice] = []
    door = gateway(reader, observer=notices.append)

    def states() -> list[PartState]:
        return [n for n in notices if isinstance(n, PartState)]

    with pytest.raises(ConfigurationError):
        await door.get("customer", "1")
    assert states() == [PartState("reads", "erp", "retrying", "refused")]
    with pytest.raises(RetryLater):
        await door.get("customer", "1")
    await door.get("customer", "1")
    await door.get("customer", "2")
    assert [n.state for n in states()] == ["retrying", "retrying", "running"]


async def test_a_question_that_can_not_be_asked_says_nothing_of_the_system() -> None:
    notices: list[Notice] = []
    reader: MemoryReader = legacy(poison=frozenset({"0001"}))
    door = gateway(reader, observer=notices.append)
    with pytest.raises(Rejected):
        await door.get("customer", "1")
    assert not [n for n in notices if isinstance(n, PartState)]
