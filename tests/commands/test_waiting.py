"""People are told that commands wait for a system, once, and when they go on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bridge.commands.group import executor_group
from bridge.connector import Done, Effect
from bridge.model.errors import RetryLater
from bridge.observe import Notice, PartState
from bridge.waiting import PartWaiting
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.rpc_writer import RpcWriter
from tests.commands.sqlite_executor import executing, sealed, send
from tests.commands.test_intent import final_codes
from tests.waiting import until


class AwayWriter(RpcWriter):
    """A system that is away until `back`."""

    back = False

    async def prepare(self) -> None:
        if not self.back and self.prepared:
            raise RetryLater("erp is being serviced")
        await super().prepare()

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        if not self.back:
            raise RetryLater("erp is being serviced")
        return await super().execute(effects)


async def test_commands_that_wait_for_their_system_are_told_and_so_is_its_end(
    here: ErpHarness,
) -> None:
    command = sealed("note_order", args={"reason": "x"})
    await send(here, command)
    seen: list[Notice] = []

    def states() -> list[tuple[str, str]]:
        notices = [(n.state, n.reason) for n in seen if isinstance(n, PartState)]
        return [state for state, _ in groupby(notices)]

    writer = AwayWriter(here.folder)
    async with executing(here, writer=writer, ledger=False, observer=seen.append):
        await until(states)
        writer.back = True
        assert await final_codes(here, command) == ["succeeded"]
        await until(lambda: len(states()) > 1)
    assert states() == [("retrying", "erp is being serviced"), ("running", "")]


def test_what_passes_at_once_and_what_somebody_else_does_is_no_news() -> None:
    seen: list[Notice] = []
    waiting = PartWaiting("commands", "erp", seen.append)
    for failures, why in [(1, "a lock"), (0, ""), (1, ""), (2, ""), (0, "")]:
        waiting.tried(failures, why)
    assert seen == []


async def test_told_to_end_while_its_system_is_away_an_executor_joins_nobody(
    here: ErpHarness,
) -> None:
    """Joining may take seconds, or wait for a log that is away as well."""

    class Never(AwayWriter):
        async def prepare(self) -> None:
            self.prepared += 1
            raise RetryLater("erp is being serviced")

    writer = Never(here.folder)
    async with executing(here, writer=writer, ledger=False):
        await until(lambda: writer.prepared)
    group = executor_group(here.bridge, "erp")
    assert group not in await here.log.groups()


def test_a_part_that_waits_for_two_things_runs_again_when_both_are_there() -> None:
    seen: list[Notice] = []
    waiting = PartWaiting("agent", "credit-watch", seen.append)
    for failures, why, action in [
        (2, "a", "read"),
        (3, "b", "write"),
        (0, "", "read"),
        (0, "", "write"),
    ]:
        waiting.tried(failures, why, action)
    assert [(n.state, n.reason) for n in seen if isinstance(n, PartState)] == [
        ("retrying", "a"),
        ("retrying", "b"),
        ("running", ""),
    ]
