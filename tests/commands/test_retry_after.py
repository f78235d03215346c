"""Commands leave a system alone for as long as it asked for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bridge.commands.strategy.retry_after import RetryAfterWriter
from bridge.connector import Done, Effect, Writer
from bridge.model.errors import RetryLater
from bridge.model.receipt import Receipt
from bridge.observe import Notice, PartState
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.rpc_writer import RpcWriter
from tests.commands.sqlite_executor import executing, sealed, send
from tests.commands.test_intent import final_codes
from tests.waiting import until

EFFECT = Effect("a:1", "d", "PATCH", {}, "t", {})


class Busy:
    """A Writer that says what it is told to."""

    in_doubt_timeout = 1.5

    def __init__(self, *says: list[Done | Exception] | Exception) -> None:
        self.says = list(says)
        self.execution_count = 0

    async def prepare(self) -> None:
        await self.execute([])

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        del effects
        self.execution_count += 1
        outcome = self.says.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def probe(self, effect: Effect) -> Done | None:
        await self.execute([effect])
        return None

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("outcome", [RetryLater("busy", after=10), [RetryLater("busy", after=10)]])
async def test_a_system_that_asked_for_time_is_not_asked_before_it_is_over(
    outcome: list[Done | Exception] | Exception,
) -> None:
    now = 100.0
    writer = Busy(outcome, [Done(1)])
    patient: Writer = RetryAfterWriter(writer, lambda: now)
    if isinstance(outcome, Exception):
        with pytest.raises(RetryLater):
            await patient.execute([EFFECT])
    else:
        assert await patient.execute([EFFECT]) == outcome
    for call in (patient.prepare, lambda: patient.execute([EFFECT]), lambda: patient.probe(EFFECT)):
        now = 109.0
        with pytest.raises(RetryLater, match="busy") as error:
            await call()
        assert error.value.after == 1.0
    assert writer.execution_count == 1
    now = 110.0
    assert await patient.execute([EFFECT]) == [Done(1)]
    assert patient.in_doubt_timeout == 1.5


async def test_a_command_waits_for_as_long_as_its_system_asked_and_its_receipt_says_why(
    here: ErpHarness,
) -> None:
    now = 100.0
    command = sealed("note_order", args={"reason": "x"})
    await send(here, command)
    busy = RetryLater("erp answered 503", after=600)
    rpc = RpcWriter(here.folder, refused=lambda number, _: busy if number == 1 else None)
    seen: list[Notice] = []

    def waits() -> bool:
        return any(isinstance(n, PartState) and n.state == "retrying" for n in seen)

    patient = RetryAfterWriter(rpc, lambda: now)
    async with executing(here, writer=patient, ledger=False, observer=seen.append):
        await until(waits)
        assert rpc.calls == 1
        *_, last = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
        assert last.code == "not_started"
        assert "is retried: erp answered 503" in (last.message or "")
        now = 700.0
        assert await final_codes(here, command) == ["succeeded"]
    assert rpc.calls == 2


async def test_a_refusal_without_a_time_is_asked_again_at_once() -> None:
    patient = RetryAfterWriter(Busy(RetryLater("away"), [Done(1)]))
    with pytest.raises(RetryLater):
        await patient.execute([EFFECT])
    assert await patient.execute([EFFECT]) == [Done(1)]
