"""Commands into a system that keeps no ledger: one effect each, whatever dies or stays unheard."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.commands.batch import BatchExecution
from bridge.commands.contract import NoEpochs, no_crash_points
from bridge.commands.incoming import CommandDecoder, IncomingCommand
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.intent import MAX_STALE_INTENTS, IntentStrategy
from bridge.commands.strategy.intent_log import IntentLog
from bridge.connector import Done, Effect
from bridge.log.partition_owner import own_partitions
from bridge.model.command import CommandRecord
from bridge.model.errors import OutcomeUnknown, Rejected, RetryLater, Unsupported
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import AuditRecord
from bridge.observe import CommandMoved, Notice
from tests.agent.sqlite_erp import SPEC, ErpHarness, open_erp
from tests.commands.kill_executor import frozen, killed
from tests.commands.rpc_writer import RpcWriter, away, effects, timed_out
from tests.commands.sqlite_executor import HEIR, executing, sealed, send, tomorrow
from tests.waiting import WAIT_TIMEOUT_S, until


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ErpHarness]:
    async with open_erp(tmp_path, partitions=1) as erp_harness:
        yield erp_harness


def commands(count: int = 2) -> list[CommandRecord]:
    return [sealed("raise_total", str(number)) for number in range(1, count + 1)]


async def receipt_codes(here: ErpHarness, command: CommandRecord) -> list[str]:
    """The receipts of one command: the outcome, and the code where there is one."""
    receipts_so_far = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    return [r.code or r.outcome.value for r in receipts_so_far if r.command_id == command.id]


async def final_codes(here: ErpHarness, *sent: CommandRecord) -> list[str]:
    """The last word on each, once none is in progress."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            last = [(await receipt_codes(here, command) or ["none"])[-1] for command in sent]
            if not {"none", "in_progress", "not_started"} & set(last):
                return last
            await asyncio.sleep(0.02)


async def states(here: ErpHarness, command: CommandRecord) -> list[str]:
    trail = [a for a in await here.records("audit") if isinstance(a, AuditRecord)]
    return [a.state for a in trail if a.command_id == command.id]


async def test_the_intent_stands_in_the_log_before_the_effect_and_the_receipt_after_it(
    here: ErpHarness,
) -> None:
    sent = commands(3)
    await send(here, *sent)
    writer = RpcWriter(here.folder)
    moved: list[Notice] = []
    async with executing(here, writer=writer, ledger=False, observer=moved.append):
        assert await final_codes(here, *sent) == ["succeeded"] * 3
        await until(lambda: len(moved) >= 12)
    for command in sent:
        assert await receipt_codes(here, command) == ["in_progress", "succeeded"]
        assert await states(here, command) == ["received", "validated", "executing", "succeeded"]
        moved_states = [
            n.state for n in moved if isinstance(n, CommandMoved) and n.command_id == command.id
        ]
        assert moved_states == ["received", "validated", "executing", "succeeded"]
    assert effects(here.folder) == {command.id: 1 for command in sent}
    assert writer.probed == []


BEFORE_ANY = ["before_intents"]
IN_DOUBT = [
    "after_intents",
    "before_legacy",
    "acted:1",
    "acted:2",
    "after_legacy",
    "before_receipts",
]
ALL_DONE = ["after_receipts"]


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", [*BEFORE_ANY, *IN_DOUBT, *ALL_DONE])
async def test_killed_at_a_step_each_command_takes_effect_once_where_a_probe_can_tell(
    tmp_path: Path, step: str
) -> None:
    sent = commands()
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, *sent)
    killed(tmp_path, step, "--rpc")
    before = effects(tmp_path)
    async with open_erp(tmp_path, partitions=1) as here:
        writer = RpcWriter(tmp_path)
        async with executing(here, session=HEIR, writer=writer, ledger=False):
            actual_ends = await final_codes(here, *sent)
        assert effects(tmp_path) == {command.id: 1 for command in sent}
        happened = [before[command.id] == 1 for command in sent]
        wanted = [
            "reconciled" if before[command.id] and step in IN_DOUBT else "succeeded"
            for command in sent
        ]
        assert actual_ends == wanted
        assert sorted(writer.probed) == sorted(command.id for command in sent if step in IN_DOUBT)
        if step in IN_DOUBT:
            again = [
                ["unknown", "reconciling", *([] if has_happened else ["executing"]), "succeeded"]
                for has_happened in happened
            ]
            begun = ["received", "validated", "executing"]
            assert [await states(here, command) for command in sent] == [
                [*begun, *more] for more in again
            ]


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", ["before_intents", "after_intents", "acted:1", "before_receipts"])
async def test_killed_at_a_step_only_a_probe_that_cannot_tell_leaves_the_outcome_open(
    tmp_path: Path, step: str
) -> None:
    sent = commands()
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, *sent)
    killed(tmp_path, step, "--rpc")
    before = effects(tmp_path)
    async with open_erp(tmp_path, partitions=1) as here:
        async with executing(
            here, session=HEIR, writer=RpcWriter(tmp_path, probes=False), ledger=False
        ):
            actual_ends = await final_codes(here, *sent)
        assert actual_ends == ["unknown" if step in IN_DOUBT else "succeeded"] * 2
        if step in IN_DOUBT:
            assert effects(tmp_path) == before
        else:
            assert effects(tmp_path) == {command.id: 1 for command in sent}


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", ["before_probe", "after_probe", "after_intents", "acted:1"])
async def test_killed_again_while_the_first_death_is_reconciled_the_effect_stays_one(
    tmp_path: Path, step: str
) -> None:
    sent = commands()
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, *sent)
    killed(tmp_path, "after_intents", "--rpc")
    killed(tmp_path, step, "--rpc")
    async with (
        open_erp(tmp_path, partitions=1) as here,
        executing(here, session=HEIR, writer=RpcWriter(tmp_path), ledger=False),
    ):
        actual_ends = await final_codes(here, *sent)
    assert effects(tmp_path) == {command.id: 1 for command in sent}
    assert set(actual_ends) <= {"succeeded", "reconciled"}


async def test_a_call_whose_answer_was_lost_is_found_by_the_probe_and_not_made_again(
    here: ErpHarness,
) -> None:
    sent = commands(3)
    await send(here, *sent)
    writer = RpcWriter(here.folder, lost=timed_out(2))
    async with executing(here, writer=writer, ledger=False):
        assert await final_codes(here, *sent) == ["succeeded", "reconciled", "succeeded"]
    assert effects(here.folder) == {command.id: 1 for command in sent}
    assert writer.probed == [sent[1].id]
    assert await states(here, sent[1]) == [
        *("received", "validated", "executing"),
        *("unknown", "reconciling", "succeeded"),
    ]


async def test_a_call_that_timed_out_and_did_not_happen_is_made_again(here: ErpHarness) -> None:
    sent = commands(1)
    await send(here, *sent)
    writer = RpcWriter(here.folder, refused=timed_out(1))
    async with executing(here, writer=writer, ledger=False):
        assert await final_codes(here, *sent) == ["succeeded"]
    assert effects(here.folder) == {sent[0].id: 1}
    assert (writer.calls, len(writer.probed)) == (2, 1)


async def test_a_call_that_never_gets_an_answer_and_never_happens_fails_in_the_end(
    here: ErpHarness,
) -> None:
    sent = commands(1)
    await send(here, *sent)
    writer = RpcWriter(here.folder, refused=timed_out(*range(100)))
    async with executing(here, writer=writer, ledger=False):
        assert await final_codes(here, *sent) == ["no_answer"]
    assert effects(here.folder) == {}
    assert writer.calls == 3


async def test_a_probe_without_an_answer_is_made_again_and_has_an_end(here: ErpHarness) -> None:
    first, second = commands()
    await send(here, first, second)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    writer = RpcWriter(here.folder, lost=timed_out(1, 2), unsure=4, in_doubt_timeout=7.0)
    async with executing(here, writer=writer, ledger=False, sleep=sleep):
        assert await final_codes(here, first, second) == ["reconciled", "reconciled"]
    # First and second without an answer; then again after a while, and again.
    assert slept == [7.0, 0.5, 2.0]
    third = sealed("note_order", "3", args={"reason": "x"})
    hopeless = RpcWriter(here.folder, lost=timed_out(1), unsure=99)
    await send(here, third)
    async with executing(here, writer=hopeless, ledger=False, sleep=sleep):
        assert await final_codes(here, third) == ["unknown"]
    assert len(hopeless.probed) == 4
    assert effects(here.folder) == {command.id: 1 for command in (first, second, third)}


async def test_a_receipt_of_an_unknown_outcome_tells_a_person_where_to_look(
    here: ErpHarness,
) -> None:
    (command,) = commands(1)
    await send(here, command)
    writer = RpcWriter(here.folder, probes=False, lost=timed_out(1))
    async with executing(here, writer=writer, ledger=False):
        await final_codes(here, command)
    *_, last = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    assert last.outcome == Outcome.UNKNOWN_OUTCOME
    assert 'check sales_order {"order_no":"1"} in erp' in (last.message or "")
    assert f"bridgectl commands settle {command.id} --as" in (last.message or "")


async def test_a_command_of_unknown_outcome_that_comes_again_is_asked_for_again(
    here: ErpHarness,
) -> None:
    (command,) = commands(1)
    await send(here, command)
    blind = RpcWriter(here.folder, probes=False, lost=timed_out(1))
    async with executing(here, writer=blind, ledger=False):
        assert await final_codes(here, command) == ["unknown"]
    await send(here, command)
    async with executing(here, writer=RpcWriter(here.folder), ledger=False):
        await until(lambda: _count(here, command, 3))
    assert await receipt_codes(here, command) == ["in_progress", "unknown", "reconciled"]
    await send(here, command, *(later := [sealed("note_order", "2", args={"reason": "x"})]))
    async with executing(here, writer=RpcWriter(here.folder), ledger=False):
        await final_codes(here, *later)
    assert await receipt_codes(here, command) == ["in_progress", "unknown", "reconciled"]
    assert effects(here.folder)[command.id] == 1


async def _count(here: ErpHarness, command: CommandRecord, count: int) -> bool:
    return len(await receipt_codes(here, command)) >= count


async def test_what_certainly_did_not_happen_is_taken_back_and_tried_again_also_by_a_blind_one(
    tmp_path: Path,
) -> None:
    sent = commands(3)
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, *sent)
        writer = RpcWriter(tmp_path, probes=False, refused=away(*range(2, 1000)))
        async with executing(here, writer=writer, ledger=False):
            await until(lambda: writer.calls > 5)
        assert writer.prepared > 1
        assert effects(tmp_path) == {sent[0].id: 1}
    async with open_erp(tmp_path, partitions=1) as here:
        writer = RpcWriter(tmp_path, probes=False)
        async with executing(here, writer=writer, ledger=False):
            assert await final_codes(here, *sent) == ["succeeded"] * 3
    assert effects(tmp_path) == {command.id: 1 for command in sent}
    assert writer.probed == []


@pytest.mark.usefixtures("processes")
async def test_a_command_in_doubt_whose_time_is_over_is_asked_for_before_it_expires(
    tmp_path: Path,
) -> None:
    today = datetime.now(UTC) + timedelta(hours=1)
    happened, did_not = (
        sealed("raise_total", number, key=f"{number}", deadline=today) for number in "12"
    )
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, happened, did_not)
    killed(tmp_path, "acted:1", "--rpc")
    async with (
        open_erp(tmp_path, partitions=1) as here,
        executing(here, session=HEIR, writer=RpcWriter(tmp_path), ledger=False, clock=tomorrow),
    ):
        assert await final_codes(here, happened, did_not) == ["reconciled", "deadline"]
    assert effects(tmp_path) == {happened.id: 1}


async def test_a_crash_may_follow_a_request_that_had_no_answer(here: ErpHarness) -> None:
    """Crash tests kill where a step says so: also where the whole call of the writer failed."""
    (command,) = commands(1)
    await send(here, command)
    steps: list[str] = []

    class SilentOnce(RpcWriter):
        async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
            results = await super().execute(effects)
            if self.calls == 1:
                raise OutcomeUnknown("no answer came")
            return results

    writer = SilentOnce(here.folder)
    async with executing(here, writer=writer, ledger=False, steps=steps.append):
        assert await final_codes(here, command) == ["reconciled"]
    assert steps[2:6] == ["before_legacy", "after_legacy", "before_probe", "after_probe"]


@pytest.mark.usefixtures("processes")
async def test_an_executor_frozen_behind_its_intent_does_not_act_once_another_has(
    tmp_path: Path,
) -> None:
    (command,) = commands(1)
    after = sealed("note_order", "2", args={"reason": "x"})
    async with open_erp(tmp_path, partitions=1) as here:
        await send(here, command)
        with frozen(tmp_path, "after_intents", "--rpc") as executor:
            async with executing(here, session=HEIR, writer=RpcWriter(tmp_path), ledger=False):
                assert await final_codes(here, command) == ["succeeded"]
            executor.send_signal(signal.SIGCONT)
            # It gets the partition back, and has to come past the first command to do this one.
            await send(here, after)
            assert await final_codes(here, after) == ["succeeded"]
    assert effects(tmp_path) == {command.id: 1, after.id: 1}


async def test_words_of_a_system_that_are_no_utf_8_keep_no_receipt_from_being_written(
    here: ErpHarness,
) -> None:
    """JSON can write halves of surrogate pairs; the log can't, and the executor would end."""
    first, second = commands()
    await send(here, first, second)

    def refused(number: int, _: Effect) -> Exception | None:
        return Rejected("legacy_error", "no \ud800 such") if number == 1 else None

    writer = RpcWriter(
        here.folder,
        refused=refused,
        lost=lambda number, _: OutcomeUnknown("\udfff") if number == 2 else None,
    )
    async with executing(here, writer=writer, ledger=False):
        assert await final_codes(here, first, second) == ["legacy_error", "reconciled"]
    final_receipts = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    [receipt] = [r for r in final_receipts if r.code == "legacy_error"]
    assert receipt.message == "no ? such"


class Slow(RpcWriter):
    """Takes effect a moment after it was asked whether it had, and refuses a second time: by the
    key that is there, the version that has changed. `then` is what probes say from then on.
    """

    def __init__(self, folder: Path, then: Done | Exception | None) -> None:
        super().__init__(folder)
        self._then = then

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        self.calls += 1
        if self.calls == 1:
            return [OutcomeUnknown("the call timed out") for _ in effects]
        return [Rejected("conflict", "it is there already") for _ in effects]

    async def probe(self, effect: Effect) -> Done | None:
        self.probed.append(effect.command_id)
        if len(self.probed) == 1:
            return None
        if isinstance(self._then, Exception):
            raise self._then
        return self._then


@pytest.mark.parametrize(
    ("then", "end"),
    [
        (Done(1), "reconciled"),
        (None, "conflict"),
        (Unsupported("somebody else's, perhaps"), "unknown"),
    ],
)
async def test_a_refusal_of_what_was_sent_again_may_be_the_work_of_its_own_first_request(
    here: ErpHarness, then: Done | Exception | None, end: str
) -> None:
    """The system took longer than it was waited for; failed would be a lie."""
    [command] = commands(1)
    await send(here, command)
    writer = Slow(here.folder, then)
    async with executing(here, writer=writer, ledger=False):
        assert await final_codes(here, command) == [end]
    assert writer.calls == 2
    assert len(writer.probed) == 2


async def test_what_was_refused_at_once_is_not_asked_about(here: ErpHarness) -> None:
    [command] = commands(1)
    await send(here, command)
    writer = RpcWriter(here.folder, refused=lambda *_: Rejected("conflict", "no"))
    async with executing(here, writer=writer, ledger=False):
        assert await final_codes(here, command) == ["conflict"]
    assert writer.probed == []


@pytest.mark.usefixtures("processes")
async def test_a_log_that_takes_too_long_for_intents_is_waited_for_and_told(
    here: ErpHarness,
) -> None:
    """Written again and again, they would fill it, and nobody would know what is waited for."""
    await send(here, *commands())
    writer, receipt_index = RpcWriter(here.folder), ReceiptIndex(here.log, here.codec, "me")
    intents = IntentLog(
        "me",
        here.codec,
        receipt_index,
        clock=utc,
        crash_point=no_crash_points,
        report=lambda _course: None,
    )
    strategy = IntentStrategy(
        writer, intents, receipt_index, start_within_s=0.0, clock=utc, crash_point=no_crash_points
    )
    named = {command.qualified: command for command in SPEC.commands}
    execution = BatchExecution(named, here.tables, strategy, receipt_index, NoEpochs(), clock=utc)
    topic = here.codec.topic("command")
    async with own_partitions(here.log, here.bridge, "test", [topic]) as owned:
        records = await owned.read(10, WAIT_TIMEOUT_S)
        parts = await CommandDecoder("erp", here.codec, utc).by_partition(records)
        items = [command for part in parts.values() for command in part.commands.values()]
        with pytest.raises(RetryLater, match="announcing commands in the log took longer"):
            await execution.execute(
                [command for command in items if isinstance(command, IncomingCommand)], owned
            )
    await receipt_index.close()
    assert writer.calls == 0
    written = [r for r in await here.records("receipt") if isinstance(r, Receipt)]
    assert [r.code for r in written] == ["in_progress"] * 2 * MAX_STALE_INTENTS


def utc() -> datetime:
    return datetime.now(UTC)
