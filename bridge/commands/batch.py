"""A batch of commands: decided, asked about where in doubt, carried out in waves, each ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeGuard

from bridge.commands.contract import Epochs, PartitionTransactions
from bridge.commands.decision.decide import Await, Decision, Execute, Hold, Refuse, decide
from bridge.commands.held.commands import DueCommands, HeldCommands, behind
from bridge.commands.incoming import IncomingCommand
from bridge.commands.receipts.builder import (
    KEY_REUSED,
    CommandLifecycle,
    claims_only,
    failed,
    reconciled,
    refused,
    succeeded,
    unknown,
    unproven,
    waves,
)
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.receipts.masked_result import MaskedPaths
from bridge.commands.receipts.outcome_table import OutcomeTable, RecordedOutcome, recorded_outcome
from bridge.commands.strategy.contract import (
    ExecutionResult,
    ExecutionStrategy,
    PendingCommand,
    Reconciled,
)
from bridge.connector import Done
from bridge.model.command import CommandRecord
from bridge.model.error_text import error_message
from bridge.model.errors import (
    ConfigurationError,
    Fenced,
    MissingRight,
    OutcomeUnknown,
    RetryLater,
)
from bridge.model.receipt import Outcome, Receipt, State
from bridge.model.specs import CommandSpec
from bridge.ports.entity_mapping import EntityMapping


@dataclass(slots=True)
class _Batch:
    """What a batch has come to so far: a course each (None: it waits), the keys behind which
    others wait, and what has ended, which the same command later in the batch has to know of. `epoch` is that of the
    system's history, as of after the last effects; `claims` are the indexes of commands of which so far
    only the log says that they succeeded, `disputed` the ids of those that the ledger denies. `due`: all are held commands, taken up again;
    `held` are the first of the batch that is held, by key, `refused` the declarations that lack something.
    """

    courses: list[CommandLifecycle | None]
    waiting: set[bytes | None] = field(default_factory=set)
    ended: OutcomeTable = field(default_factory=OutcomeTable)
    epoch: int | None = None
    claims: list[int] = field(default_factory=list)
    disputed: set[str] = field(default_factory=set)
    due: DueCommands | None = None
    held: dict[bytes | None, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    def wait(self, work: PendingCommand) -> None:
        """This command comes again, and all behind it of its key."""
        self.courses[work.index] = None
        self.waiting.add(work.item.key)

    def end(self, work: PendingCommand, receipt: Receipt) -> None:
        """This command's last state."""
        work.course.end(receipt)
        if not claims_only(receipt.code):
            self.ended.add(work.id, recorded_outcome(work.item.command.digest, receipt.outcome))


class BatchExecution:
    """Carries out batches of one system's commands."""

    def __init__(
        self,
        commands: Mapping[str, CommandSpec],
        tables: Mapping[str, EntityMapping],
        carrier: ExecutionStrategy,
        answered: ReceiptIndex,
        epochs: Epochs,
        *,
        held: HeldCommands | None = None,
        masked: MaskedPaths = frozenset(),
        clock: Callable[[], datetime],
    ) -> None:
        self._masked = masked
        self._commands = commands
        self._tables = tables
        self._carrier = carrier
        self._answered = answered
        self._epochs = epochs
        self._held = HeldCommands() if held is None else held
        self.why = ""
        """What the last batch waits for; empty: for nothing, or only for its partition."""
        self._clock = clock

    async def carry_out(
        self,
        items: Sequence[IncomingCommand],
        owned: PartitionTransactions,
        due: DueCommands | None = None,
    ) -> list[CommandLifecycle | None]:
        """The course of each command, aligned; None for one that has to be tried again later
        (the legacy system is away, or a lock was not given), and then for all behind it of its key.
        `due`: these are held ones, taken up again.

        Raises RetryLater while the log is away.
        """
        batch = _Batch([None] * len(items), due=due)
        self.why = ""
        if items:
            await self._answered.catch_up()
        for wave in waves([item.key for item in items]):
            works = [
                self._work(index, items[index], batch)
                for index in wave
                if items[index].key not in batch.waiting
            ]
            await self._prove(batch, items)
            open_ = [work for work in works if work is not None]
            going = [
                work for work in await self._certain(open_, batch) if self._starts(work, batch)
            ]
            if going:
                endings = await self._carrier.carry_out(going, owned)
                await self._learn_epoch(endings, batch)
                granted = {
                    work.item.command.name
                    for work, ending in zip(going, endings, strict=True)
                    if isinstance(ending, Done) and not ending.repeated
                }
                for work, ending in zip(going, endings, strict=True):
                    if not _lacks(ending) or self._held.is_refused_itself(work.item):
                        self._end(work, ending, batch)
                    elif work.item.command.name in granted:
                        # It alone: tried again at once, it shows whether the right is gone by now.
                        self._hold(work, error_message(ending), batch)
                    else:
                        self._refuse(work, error_message(ending), batch)
        return batch.courses

    def _work(self, index: int, item: IncomingCommand, batch: _Batch) -> PendingCommand | None:
        """What is to be decided about a command; None for one that has its receipt."""
        now, command = self._clock(), item.command
        course = batch.courses[index] = CommandLifecycle(command)
        before = batch.ended.get(command.id) or self._answered.get(command.id)
        mine = before is not None and before.is_for(command.digest)
        if mine and before is not None and before.outcome != Outcome.UNKNOWN_OUTCOME:
            course.answered = before.outcome
            if command.id in batch.disputed:
                course.answered = Outcome.UNKNOWN_OUTCOME
            elif before.outcome == Outcome.SUCCEEDED and batch.ended.get(command.id) is None:
                batch.claims.append(index)
            return None
        waits = self._answered.held.get(command.id) if batch.due is None else None
        if waits is not None and waits.digest == command.digest:
            return None  # Its first record is taken up again.
        foreign = self._answered.foreign(command.id)
        if mine and foreign:
            why = f"{foreign}, but the version of legacy-bridge that wrote it does"
            course.aside = True
            course.end(unknown(command, item.target, why, now))
            return None
        decision = decide(command, item.target, self._commands, self._tables, now)
        if mine:
            course.doubt("its last word in the log is that it may have happened", now)
        elif batch.due is None:
            course.reach(State.RECEIVED, now, by=command.agent)
            if not isinstance(decision, Refuse):
                course.reach(State.VALIDATED, now)
            if before is not None or waits is not None:
                decision = _reused(command, decision)
        work = PendingCommand(index, item, course, decision, intended=mine)
        work.doubtful = self._carrier.doubts(work)
        return work

    async def _prove(self, batch: _Batch, items: Sequence[IncomingCommand]) -> None:
        """What only a receipt says, anybody may have said who can write one."""
        claims, batch.claims = batch.claims, []
        if not claims:
            return
        proofs = await self._carrier.prove([items[index] for index in claims])
        for index, proof in zip(claims, proofs, strict=True):
            item, course = items[index], batch.courses[index]
            if isinstance(proof, RetryLater):
                batch.courses[index] = None
                batch.waiting.add(item.key)
                self.why = str(proof)
            elif proof is not None and course is not None:
                course.answered = None
                batch.disputed.add(item.command.id)
                now = self._clock()
                course.reach(State.RECEIVED, now, by=item.command.agent)
                course.end(unproven(item.command, item.target, str(proof), now))

    async def _certain(
        self, works: Sequence[PendingCommand], batch: _Batch
    ) -> list[PendingCommand]:
        """Those of which it is certain that they haven't happened; the others end or wait."""
        doubtful = [work for work in works if work.doubtful]
        if not doubtful:
            return list(works)
        answers = await self._carrier.ask(doubtful)
        await self._learn_epoch(answers, batch)
        settled = {
            work.index: recorded_outcome
            for work, recorded_outcome in zip(doubtful, answers, strict=True)
            if recorded_outcome is not None
        }
        for work in doubtful:
            if work.index in settled:
                self._end(work, settled[work.index], batch)
        return [work for work in works if work.index not in settled]

    async def _learn_epoch(self, endings: Sequence[ExecutionResult | None], batch: _Batch) -> None:
        """Behind the effects, so that no receipt names an epoch that had ended before them."""
        done = [one.done if isinstance(one, Reconciled) else one for one in endings]
        if any(isinstance(one, Done) and one.position is not None for one in done):
            # The log is away: what has happened is worth more than where it stands.
            with contextlib.suppress(RetryLater):
                batch.epoch = None
                batch.epoch = await self._epochs.now()

    def _starts(self, work: PendingCommand, batch: _Batch) -> bool:
        """Whether it is to be carried out now; otherwise it ends, or waits for a person."""
        decision, now = work.decision, self._clock()
        if isinstance(decision, Refuse):
            receipt = refused(
                work.item.command, decision.outcome, decision.code, decision.message, now
            )
            batch.end(work, receipt)
        elif isinstance(decision, Await):
            work.course.reach(State.AWAITING_APPROVAL, now, message=decision.message)
        elif isinstance(decision, Hold):
            self._refuse(work, decision.message, batch)
        elif why := self._held_back(work, batch):
            self._hold(work, why, batch)
            return False
        return isinstance(decision, Execute)

    def _held_back(self, work: PendingCommand, batch: _Batch) -> str:
        """Why a command that could start may not; empty where it may."""
        first = batch.held.get(work.item.key)
        if first is not None:
            return behind(first)
        if batch.due is not None and work.id in batch.due.free:
            return ""
        return self._held.why(work.item)

    def _refuse(self, work: PendingCommand, why: str, batch: _Batch) -> None:
        """It is held, and so are the others of its declaration from now on."""
        name = work.item.command.name
        if name not in batch.refused:
            batch.refused.add(name)
            self._held.refuse(name, why)
        self._hold(work, why, batch)

    def _hold(self, work: PendingCommand, why: str, batch: _Batch) -> None:
        batch.held.setdefault(work.item.key, work.id)
        work.course.hold(why, self._clock())

    def _end(self, work: PendingCommand, ending: ExecutionResult, batch: _Batch) -> None:
        command, at = work.item.command, self._clock()
        if isinstance(ending, RetryLater):
            self._held.postpone(command.name)
        elif not isinstance(ending, (Fenced, OutcomeUnknown, RecordedOutcome)):
            self._held.lift(command.name)
        decision = work.decision if isinstance(work.decision, Execute) else None
        match ending:
            case RetryLater() | Fenced():
                batch.wait(work)
                if isinstance(ending, RetryLater):
                    self.why = str(ending)
            case RecordedOutcome():
                work.course.answered = ending.outcome
                del work.course.steps[work.course.written :]
            case Done():
                if not ending.repeated:
                    self._held.took_effect(command.name)
                work.course.repeated = ending.repeated
                batch.end(
                    work, succeeded(command, decision, ending, at, batch.epoch, masked=self._masked)
                )
            case Reconciled(done=done) if done.repeated:
                # The ledger itself says so, which leaves nothing to explain.
                work.course.repeated = True
                batch.end(
                    work, succeeded(command, None, done, at, batch.epoch, masked=self._masked)
                )
            case Reconciled(done=done):
                work.course.repeated = True
                batch.end(
                    work, reconciled(command, decision, done, at, batch.epoch, masked=self._masked)
                )
            case OutcomeUnknown():
                batch.end(work, unknown(command, work.item.target, str(ending), at))
            case _:
                batch.end(work, failed(command, ending, at))


def _reused(command: CommandRecord, decision: Decision) -> Decision:
    """The decision about a record whose id stands for another content."""
    if isinstance(decision, Refuse) and claims_only(decision.code):
        return decision
    return Refuse(
        Outcome.REJECTED,
        KEY_REUSED,
        f"command {command.id!r} was asked for before with another content",
    )


def _lacks(ending: ExecutionResult) -> TypeGuard[ConfigurationError | MissingRight]:
    """Whether a person can give what this command was refused for."""
    return isinstance(ending, (ConfigurationError, MissingRight))
