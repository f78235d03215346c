"""Writes into the log that commands are about to be carried out, before they are.

Where the legacy system keeps no ledger, this is what a later process knows of an earlier one:
nothing is in progress without its intent. An intent is a transaction of its partition's owner, so
a process that lost the partition can't write it, and doesn't act.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import count

from bridge.commands.contract import (
    AFTER_INTENTS,
    BEFORE_INTENTS,
    CrashPointHook,
    PartitionTransactions,
)
from bridge.commands.receipts.builder import CommandLifecycle, intent, settled, withdrawn
from bridge.commands.receipts.index import ReceiptIndex
from bridge.commands.strategy.contract import PendingCommand
from bridge.log.port import Entry, Headers, TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.model import headers
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.receipt import Receipt, State

Told = Callable[[CommandLifecycle], None]
"""Called with a course whose steps have got into the log."""


class IntentLog:
    """The intents of one process. `instance` tells it from every other one that ever ran."""

    def __init__(
        self,
        instance: str,
        codec: SystemTopicCodec,
        answered: ReceiptIndex,
        *,
        clock: Callable[[], datetime],
        steps: CrashPointHook,
        told: Told,
    ) -> None:
        self._instance = instance
        self._codec = codec
        self._answered = answered
        self._clock = clock
        self._steps = steps
        self._told = told
        self._numbers = count(1)

    async def write(
        self, works: Sequence[PendingCommand], owned: PartitionTransactions
    ) -> set[TopicPartition]:
        """Write the intents of these, a transaction a partition, and read them back; returns the
        partitions that were lost. Raises RetryLater while the log is away.

        Reading them back is what makes sure that nothing in front of them stays unread: an open
        transaction of somebody else hides what stands behind it.
        """
        lost: set[TopicPartition] = set()
        wrote: set[bytes] = set()
        self._steps(BEFORE_INTENTS)
        for place, some in _by_place(works).items():
            marks = {work.id: f"{self._instance}/{next(self._numbers)}".encode() for work in some}
            now = self._clock()
            for work in some:
                work.course.reach(State.EXECUTING, now)
            # Before it is written, because a commit whose answer is lost may have written it.
            for work in some:
                self._answered.intend(work.id, work.item.command.digest)
            if await self._commit(place, some, owned, marks):
                wrote |= set(marks.values())
            else:
                lost.add(place)
        await self._answered.reach(wrote)
        self._steps(AFTER_INTENTS)
        return lost

    async def _commit(
        self,
        place: TopicPartition,
        works: Sequence[PendingCommand],
        owned: PartitionTransactions,
        marks: dict[str, bytes],
    ) -> bool:
        try:
            async with owned.transaction(place) as transaction:
                await transaction.append(
                    self._codec.topic("receipt"),
                    [
                        self._receipt(
                            work,
                            intent(work.item.command, self._clock()),
                            [(headers.INTENT, marks[work.id])],
                        )
                        for work in works
                    ],
                )
                await transaction.append(
                    self._codec.topic("audit"),
                    [
                        self._codec.entry("audit", step.command_id, step)
                        for work in works
                        for step in work.course.steps[work.course.written :]
                    ],
                )
        except (Fenced, OutcomeUnknown):
            return False
        for work in works:
            self._told(work.course)
            work.course.written = len(work.course.steps)
        return True

    async def withdraw(
        self, works: Mapping[str, tuple[PendingCommand, RetryLater]], owned: PartitionTransactions
    ) -> None:
        """Take the intents of these back, by command id: nothing has happened (and why), so that
        nobody has to ask whether.

        Where that can't be written the intents stay, and whoever comes upon them asks.
        """
        for place, some in _by_place([work for work, _ in works.values()]).items():
            try:
                async with owned.transaction(place) as transaction:
                    await transaction.append(
                        self._codec.topic("receipt"),
                        [
                            self._receipt(
                                work,
                                withdrawn(work.item.command, str(works[work.id][1]), self._clock()),
                            )
                            for work in some
                        ],
                    )
            except (Fenced, OutcomeUnknown, RetryLater):
                continue
            for work in some:
                self._answered.withdraw(work.id)

    def _receipt(self, work: PendingCommand, receipt: Receipt, more: Headers = ()) -> Entry:
        told = [*settled(receipt, work.item.command.digest), *more]
        return self._codec.entry("receipt", work.item.target, receipt, told)


def _by_place(works: Sequence[PendingCommand]) -> dict[TopicPartition, list[PendingCommand]]:
    found: dict[TopicPartition, list[PendingCommand]] = {}
    for work in works:
        found.setdefault(work.item.place, []).append(work)
    return found
