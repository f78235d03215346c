"""A missing right holds back the commands of its declaration, until it is given or they expire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.commands.codes import HELD_BACK, outcome_headers
from bridge.commands.contract import AFTER_LEGACY, AFTER_RECEIPTS, BEFORE_RECEIPTS
from bridge.commands.group import executor_group
from bridge.commands.history import command_histories
from bridge.commands.receipts.builder import refused
from bridge.commands.receipts.index import ReceiptIndex
from bridge.connector import Done, Effect
from bridge.log.copy import copy_log
from bridge.log.embedded import EmbeddedLog
from bridge.model import headers
from bridge.model.command import CommandRecord
from bridge.model.errors import MissingRight, Rejected
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import target
from bridge.observe import CommandMoved, CommandsHeld, Notice
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.commands.kill_executor import killed
from tests.commands.rpc_writer import RpcWriter, effects
from tests.commands.sqlite_executor import HEIR, executing, orders, sealed, send
from tests.commands.ungranted import DENIED, UngrantedWriter, grant
from tests.waiting import until

# Its many short tests take longer than most files: it begins first.
pytestmark = pytest.mark.slow


def block(order: str = "1", number: int = 1, **more: Any) -> CommandRecord:
    args = {"reason": f"block {number}"}
    return sealed("block_order", order, args=args, key=f"tester/block/{order}/{number}", **more)


def note(order: str = "1", number: int = 1, **more: Any) -> CommandRecord:
    args = {"reason": f"note {number}"}
    return sealed("note_order", order, args=args, key=f"tester/note/{order}/{number}", **more)


async def states(here: ErpHarness) -> dict[str, str]:
    records = [
        *await here.records("command"),
        *await here.records("audit"),
        *await here.records("receipt"),
    ]
    return {
        command_id: story.state
        if story.state != "waiting"
        else (story.receipt.code or "" if story.receipt is not None else "unseen")
        for command_id, story in command_histories(records).items()
    }


async def reach(here: ErpHarness, commands: Sequence[CommandRecord], state: str) -> None:
    async def has_reached() -> bool:
        now = await states(here)
        return all(now.get(command.id) == state for command in commands)

    await until(has_reached)


async def receipts_of(here: ErpHarness, command: CommandRecord) -> list[Receipt]:
    receipts_so_far = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    return [r for r in receipts_so_far if r.command_id == command.id]


async def test_a_missing_right_holds_back_its_declaration_and_what_is_behind_it_and_nothing_else(
    here: ErpHarness,
) -> None:
    for number in range(1, 7):
        here.order(number, 1, 5)
    blocks = [block(str(n)) for n in range(1, 4)]
    behind, others = note("1"), [note(str(n)) for n in range(4, 7)]
    await send(here, *blocks, behind, *others)
    notices: list[Notice] = []
    writer = UngrantedWriter(here.system, here.folder)
    async with executing(here, writer=writer, observer=notices.append):
        await reach(here, others, "succeeded")
        await reach(here, [*blocks, behind], "held_back")
        late = block("5", 2)
        await send(here, late, again := note("6", 2))
        await reach(here, [again], "succeeded")
        await reach(here, [late], "held_back")
        assert orders(here)["1"] == (5, None, None)
        grant(here.folder)
        await reach(here, [*blocks, behind, late], "succeeded")
    assert orders(here)["1"] == (5, "01", "note 1")
    assert orders(here)["5"] == (5, "01", "block 2")
    held, released = [n for n in notices if isinstance(n, CommandsHeld)]
    assert (held.system, held.command, held.state) == ("erp", "erp.block_order", "held")
    assert DENIED in held.reason
    assert (released.command, released.state) == ("erp.block_order", "released")
    assert "failed" not in {n.state for n in notices if isinstance(n, CommandMoved)}
    for command in (*blocks, behind, late):
        assert [r.code for r in await receipts_of(here, command)] == ["held_back", None]


async def test_order_per_key_holds_across_declarations_and_a_restart(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    commands = [block("1", 1), note("1", 2), block("1", 3), note("1", 4)]
    await send(here, *commands)
    async with executing(here, writer=UngrantedWriter(here.system, here.folder)):
        await reach(here, commands, "held_back")
    await send(here, last := note("1", 5))
    seen: list[str] = []

    class ReasonRecordingWriter(UngrantedWriter):
        async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
            outcomes = await super().execute(effects)
            seen.extend(
                effect.parameters["reason"]
                for effect, outcome in zip(effects, outcomes, strict=True)
                if isinstance(outcome, Done)
            )
            return outcomes

    async with executing(here, writer=ReasonRecordingWriter(here.system, here.folder)):
        await reach(here, [*commands, last], "held_back")
        grant(here.folder)
        await reach(here, [*commands, last], "succeeded")
    assert seen == ["block 1", "note 2", "block 3", "note 4", "note 5"]


async def test_one_that_holds_as_many_as_it_can_goes_on_after_its_partitions_have_changed(
    here: ErpHarness,
) -> None:
    """It read no further, and so never learned which were still its own."""
    for number in range(1, 9):
        here.order(number, 1, 5)
    commands = [block(str(number)) for number in range(1, 9)]
    await send(here, *commands)

    async def shared() -> bool:
        group = (await here.log.groups())[executor_group(here.bridge, "erp")]
        return len(group.members) == 2

    first, second = (UngrantedWriter(here.system, here.folder) for _ in range(2))
    async with executing(here, writer=first, max_held=1):
        await reach(here, commands, "held_back")
        async with executing(here, writer=second, max_held=1):
            await until(shared)
            grant(here.folder)
            await reach(here, commands, "succeeded")
    for command in commands:
        assert [r.code for r in await receipts_of(here, command)] == ["held_back", None]


async def test_the_deadline_of_a_held_command_runs(here: ErpHarness) -> None:
    here.order(1, 1, 5)
    here.order(2, 1, 5)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    held = [block("1", 1), note("1", 2, deadline=soon), block("2", 3, deadline=soon)]
    await send(here, *held)
    async with executing(here, writer=UngrantedWriter(here.system, here.folder)):
        await reach(here, held[1:], "expired")
        await reach(here, held[:1], "held_back")
        grant(here.folder)
        await reach(here, held[:1], "succeeded")
    assert orders(here) == {"1": (5, "01", "block 1"), "2": (5, None, None)}


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", [AFTER_LEGACY, BEFORE_RECEIPTS, AFTER_RECEIPTS])
async def test_killed_at_a_step_a_held_command_is_neither_lost_nor_carried_out_twice(
    step: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("held")
    async with open_erp(folder, partitions=1) as here:
        here.order(1, 1, 5)
        await send(here, block("1", 1), sealed("raise_total", "1"))
    killed(folder, step, "--ungranted")
    async with open_erp(folder, partitions=1) as here:
        writer = UngrantedWriter(here.system, folder)
        async with executing(here, writer=writer, session=HEIR):
            await send(here, last := note("1", 2))
            await reach(here, [block("1", 1), sealed("raise_total", "1"), last], "held_back")
            assert orders(here)["1"] == (5, None, None)
            grant(folder)
            await reach(here, [last], "succeeded")
        assert orders(here)["1"] == (6, "01", "note 2")
        for command in (block("1", 1), sealed("raise_total", "1"), last):
            assert [r.code for r in await receipts_of(here, command)] == ["held_back", None]


async def test_what_is_refused_for_its_own_row_fails_and_the_others_of_its_declaration_go_on(
    here: ErpHarness,
) -> None:
    """Row security says the same words as a missing GRANT."""
    for number in range(1, 4):
        here.order(number, 1, 5)
    grant(here.folder)
    alone = block("2")
    await send(here, alone)
    writer = UngrantedWriter(here.system, here.folder, forbidden=["2"])
    async with executing(here, writer=writer):
        await reach(here, [alone], "held_back")
        others = [block("1"), block("3")]
        await send(here, *others)
        await reach(here, others, "succeeded")
        await reach(here, [alone], "failed")
    assert [r.code for r in await receipts_of(here, alone)] == ["held_back", "misconfigured"]


async def test_a_right_that_is_taken_away_in_the_middle_of_a_batch_costs_no_command(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What came behind it in that batch failed for good, because others of it had taken effect."""
    async with open_erp(tmp_path_factory.mktemp("revoked"), partitions=1) as here:
        for number in range(1, 7):
            here.order(number, 1, 5)
        grant(here.folder)
        commands = [block(str(number)) for number in range(1, 7)]
        await send(here, *commands)
        writer = UngrantedWriter(here.system, here.folder, revoked_after=["2"])
        async with executing(here, writer=writer):
            await reach(here, commands[:2], "succeeded")
            await reach(here, commands[2:], "held_back")
            await until(lambda: len(writer.refusal_counts) >= 2)
            await reach(here, commands[2:], "held_back")
            grant(here.folder)
            await reach(here, commands, "succeeded")


async def test_the_same_command_again_waits_once_and_other_content_under_its_key_is_refused(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    first, other = (
        block("1", 1),
        sealed("block_order", args={"reason": "x"}, key="tester/block/1/1"),
    )
    assert first.id == other.id
    await send(here, first)
    async with executing(here, writer=UngrantedWriter(here.system, here.folder)):
        await reach(here, [first], "held_back")
        await send(here, first, other, last := note("1", 2))
        await reach(here, [last], "held_back")
        grant(here.folder)
        await reach(here, [first, last], "succeeded")
    codes = [r.code for r in await receipts_of(here, first)]
    assert codes == ["held_back", "key_reused", None]
    assert orders(here)["1"] == (5, "01", "note 2")


async def test_who_takes_over_carries_out_what_is_held_and_none_of_its_copies(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    here.order(2, 1, 5)
    first = block("1", 1)
    other = sealed("block_order", args={"reason": "x"}, key="tester/block/1/1")
    elsewhere = here.codec.entry(
        "command", target("erp", "sales_order", {"order_no": "2"}), first, []
    )
    await send(here, first)
    async with executing(here, writer=UngrantedWriter(here.system, here.folder)):
        await reach(here, [first], "held_back")
        await send(here, other, last := note("1", 2))
        await here.log.append(here.codec.topic("command"), [elsewhere])
        await reach(here, [last], "held_back")
    grant(here.folder)
    async with executing(here, writer=UngrantedWriter(here.system, here.folder)):
        await reach(here, [first, last], "succeeded")
    codes = [r.code for r in await receipts_of(here, first)]
    assert sorted(code or "" for code in codes) == ["", "held_back", "key_reused"]
    assert orders(here) == {"1": (5, "01", "note 2"), "2": (5, None, None)}
    receipt_index = ReceiptIndex(here.log, here.codec)
    await receipt_index.catch_up()
    await receipt_index.close()
    assert receipt_index.held == {}, "all of them have ended"


async def test_an_entity_that_does_not_fit_its_table_holds_its_commands_until_it_does(
    here: ErpHarness,
) -> None:
    here.order(1, 1, 5)
    lacking = True
    real = here.tables

    class Tables(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            if lacking:
                raise Rejected("unavailable", f"entity {name!r} can't be changed: no such table")
            return real[name]

    here.tables = Tables()
    command = note("1")
    await send(here, command)
    async with executing(here):
        await reach(here, [command], "held_back")
        lacking = False
        await reach(here, [command], "succeeded")
    assert [r.code for r in await receipts_of(here, command)] == ["held_back", None]


async def test_without_a_ledger_a_login_that_may_not_is_asked_for_and_nothing_happens_twice(
    here: ErpHarness,
) -> None:
    """A 403 of a service: the intent is taken back by what says that the command waits."""
    may = False

    def refused(_number: int, effect: Effect) -> Exception | None:
        blocks = "lifsk" in effect.statement and not may
        return (
            MissingRight("forbidden", "403; the login has no right to do that") if blocks else None
        )

    first, behind, other = block("1"), note("1", 2), note("2")
    await send(here, first, behind, other)
    async with executing(here, writer=RpcWriter(here.folder, refused=refused), ledger=False):
        await reach(here, [other], "succeeded")
        await reach(here, [first, behind], "held_back")
    assert effects(here.folder) == {other.id: 1}
    async with executing(here, writer=RpcWriter(here.folder, refused=refused), ledger=False):
        await reach(here, [first, behind], "held_back")
        may = True
        await reach(here, [first, behind], "succeeded")
    assert effects(here.folder) == {other.id: 1, first.id: 1, behind.id: 1}


async def test_held_commands_are_found_again_in_a_copied_log(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("copied")
    async with open_erp(folder, partitions=1) as old:
        for number in (1, 2):
            old.order(number, 1, 5)
        first, behind, other = block("1"), note("1", 2), note("2")
        await send(old, other, first, behind)
        async with executing(old, writer=UngrantedWriter(old.system, folder), session=HEIR):
            await reach(old, [other], "succeeded")
            await reach(old, [first, behind], "held_back")
        log = EmbeddedLog(folder / "copy.db", partitions=1)
        async with open_erp(folder, log=log) as new:
            await copy_log(old.log, old.registry, new.log, new.registry, new.bridge)
            await send(new, last := note("1", 3))
            async with executing(new, writer=UngrantedWriter(new.system, folder)):
                await reach(new, [last], "held_back")
                grant(folder)
                await reach(new, [first, behind, last], "succeeded")
            assert orders(new)["1"] == (5, "01", "note 3")


async def test_what_other_systems_hold_makes_nobody_read_the_commands_again(
    here: ErpHarness,
) -> None:
    """From the oldest of theirs on, at each start and rebalance, before the first command."""
    theirs = sealed("block_order")
    held_receipt = refused(
        theirs, Outcome.UNKNOWN_OUTCOME, HELD_BACK, "no right", datetime.now(UTC)
    )
    more = [*outcome_headers(held_receipt, theirs.digest), (headers.HELD_SINCE, b"1")]
    entry = here.codec.entry(
        "receipt", target("crm", "ticket", {"number": "1"}), held_receipt, more
    )
    await here.log.append(here.codec.topic("receipt"), [entry])
    read: list[str] = []

    class TopicRecordingLog:
        """The log, with the topics that are read beside the group."""

        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

        async def reader(self, offsets: Any, *, report_removed: bool = False) -> Any:
            read.extend(partition.topic for partition in offsets)
            return await log.reader(offsets, report_removed=report_removed)

    log = here.log
    here.order(1, 1, 5)
    await send(here, command := note("1"))
    async with executing(replace(here, log=TopicRecordingLog())):
        await reach(here, [command], "succeeded")
    assert here.codec.topic("receipt") in read
    assert here.codec.topic("command") not in read


async def test_what_is_held_is_left_alone_where_the_partition_was_lost_before_it_is_taken_up(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("lost")
    async with open_erp(folder, partitions=1) as here:
        here.order(1, 1, 5)
        await send(here, command := block("1"))
        async with executing(here, writer=UngrantedWriter(here.system, folder), session=HEIR):
            await reach(here, [command], "held_back")
        grant(folder)
        log, owner = (
            here.log,
            f"{executor_group(here.bridge, 'erp')}.{here.codec.topic('command')}.0",
        )
        opened: list[str] = []
        acted: list[int] = []

        class Rivalled:
            """The log, in which somebody else takes the partition at once, the first time."""

            def __getattr__(self, name: str) -> Any:
                return getattr(log, name)

            async def producer(self, transactional_id: str) -> Any:
                opened.append(transactional_id)
                producer = await log.producer(transactional_id)
                if len(opened) == 1:
                    await (await log.producer(transactional_id)).close()
                return producer

        class TransactionCountingWriter(UngrantedWriter):
            async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
                acted.append(len(opened))
                return await super().execute(effects)

        writer = TransactionCountingWriter(here.system, folder)
        async with executing(replace(here, log=Rivalled()), writer=writer):
            await reach(here, [command], "succeeded")
    assert set(opened) == {f"{here.bridge}.{owner}"}
    assert acted == [2], "once, when it was the owner again"
