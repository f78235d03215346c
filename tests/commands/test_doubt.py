"""Commands into a system without a ledger, when more than one thing goes wrong: what a process knows
it doesn't forget, and what it knew before it froze it doesn't rely upon.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.commands import CommandExecutor
from bridge.connector import Done, Effect
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log, Producer, Transaction
from bridge.model.command import CommandRecord
from bridge.model.errors import OutcomeUnknown, Rejected, RetryLater
from tests.agent.sqlite_erp import SPEC, open_erp
from tests.commands.kill_executor import frozen, killed
from tests.commands.rpc_writer import RpcWriter, Trouble, effects
from tests.commands.sqlite_executor import HEIR, executing, sealed, send
from tests.commands.test_intent import commands, final_codes, receipt_codes
from tests.waiting import ended


@pytest.mark.usefixtures("processes")
async def test_an_executor_frozen_amid_its_effects_leaves_the_rest_of_them_to_its_successor(
    tmp_path: Path,
) -> None:
    sent = commands(3)
    after = sealed("note_order", "9", args={"reason": "x"})
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, *sent)
        with frozen(tmp_path, "acted:1", "--rpc") as executor:
            async with executing(here, session=HEIR, writer=RpcWriter(tmp_path), ledger=False):
                assert await final_codes(here, *sent) == ["reconciled", "succeeded", "succeeded"]
            executor.send_signal(signal.SIGCONT)
            # It gets the partition back, and has to come past the others to do this one.
            await send(here, after)
            assert await final_codes(here, after) == ["succeeded"]
    assert effects(tmp_path) == {command.id: 1 for command in (*sent, after)}


@pytest.mark.usefixtures("processes")
async def test_what_another_has_begun_since_the_probe_is_probed_for_again(tmp_path: Path) -> None:
    (command,) = commands(1)
    after = sealed("note_order", "9", args={"reason": "x"})
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, command)
        killed(tmp_path, "after_intents", "--rpc")
        with frozen(tmp_path, "after_probe", "--rpc") as executor:
            # It has learnt that nothing has happened; somebody else makes that untrue, and dies.
            killed(tmp_path, "acted:1", "--rpc")
            executor.send_signal(signal.SIGCONT)
            assert await final_codes(here, command) == ["reconciled"]
            await send(here, after)
            assert await final_codes(here, after) == ["succeeded"]
    assert effects(tmp_path) == {command.id: 1, after.id: 1}


class Breaking:
    """A log of whose transactions some break, by their number from 1 on: before the commit
    (True: it doesn't happen) or behind it.
    """

    def __init__(self, log: Log, breaks: Mapping[int, tuple[bool, Exception]]) -> None:
        self._log = log
        self.breaks = breaks
        self.transactions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def producer(self, transactional_id: str) -> Producer:
        return BreakingProducer(self, await self._log.producer(transactional_id))


class BreakingProducer:
    """Its producer."""

    def __init__(self, log: Breaking, producer: Producer) -> None:
        self._log = log
        self._producer = producer

    @property
    def transactional_id(self) -> str:
        return self._producer.transactional_id

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self._log.transactions += 1
        before, error = self._log.breaks.get(self._log.transactions, (False, None))
        async with self._producer.transaction() as transaction:
            yield transaction
            if error is not None and before:
                raise error
        if error is not None:
            raise error

    async def close(self) -> None:
        await self._producer.close()


INTENTS, RECEIPTS = 1, 2
AWAY = RetryLater("the log is away")
UNHEARD = OutcomeUnknown("the answer to the commit was lost")


@pytest.mark.parametrize(("before", "error"), [(True, AWAY), (True, UNHEARD), (False, UNHEARD)])
@pytest.mark.parametrize("number", [INTENTS, RECEIPTS])
async def test_a_log_that_is_away_for_a_moment_leaves_no_outcome_open_though_no_probe_can_tell(
    tmp_path: Path, number: int, error: Exception, before: bool
) -> None:
    log = Breaking(EmbeddedLog(tmp_path / "log.db", partitions=1), {number: (before, error)})
    async with open_erp(tmp_path, partitions=1, log=log) as here:
        done, refused, after = commands(3)
        await send(here, done, refused)
        writer = RpcWriter(tmp_path, probes=False, refused=missing(refused))
        async with executing(here, writer=writer, ledger=False):
            assert await final_codes(here, done, refused) == ["succeeded", "not_found"]
            await send(here, after)
            assert await final_codes(here, after) == ["succeeded"]
        assert [(await receipt_codes(here, command))[-1] for command in (done, refused)] == [
            "succeeded",
            "not_found",
        ]
    assert effects(tmp_path) == {done.id: 1, after.id: 1}
    assert writer.calls == 3


class Breaks(RpcWriter):
    """Its first call ends in a defect, after it has taken effect."""

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        outcomes = await super().execute(effects)
        if len(outcomes) == self.calls:
            raise LookupError("a defect")
        return outcomes


async def test_after_a_defect_of_the_connector_the_executor_asks_what_came_of_its_calls(
    tmp_path: Path,
) -> None:
    sent = commands(2)
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, *sent)
        executor = CommandExecutor(
            SPEC,
            bridge=here.bridge,
            log=here.log,
            codec=here.codec,
            writer=Breaks(tmp_path),
            ledger=False,
            tables=here.tables,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(executor.run(stop))
        assert await final_codes(here, *sent) == ["reconciled"] * 2
        await ended(running, stop)
    assert effects(tmp_path) == {command.id: 1 for command in sent}


def missing(command: CommandRecord) -> Trouble:
    return lambda _, effect: (
        Rejected("not_found", "no such order") if effect.command_id == command.id else None
    )
