"""Compares a share of a copy's answers with the legacy system, and counts what that showed."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final, Protocol

from bridge.gateway.audit.change_watches import ChangeWatch, ChangeWatches
from bridge.gateway.audit.verdict import (
    WRONG,
    AuditedAnswer,
    AuditVerdict,
    Judgement,
    SourceRow,
    judge,
)
from bridge.model.error_text import error_message
from bridge.model.errors import BridgeError
from bridge.model.freshness import Freshness
from bridge.observe import AnswerAudited, Observer

INTERVAL_S: Final = 1.0
"""Between two audits of a system, however many answers it gives: an audit costs it a query."""
WAIT_S: Final = 30.0
"""For a barrier after the source was read."""
ALLOWANCE_S: Final = 1.0
"""By which the source's clock may be behind this process's."""


class SupportsBarriers(Protocol):
    """What an audit needs of a copy; see `SystemCopy`."""

    def claim(self, entity: str, key: bytes | None = None) -> Freshness | None: ...

    async def wait(self, entity: str, until: float) -> None: ...


class AnswerAuditor:
    """The audit of one system. Used by one event loop, the copy's; `skip` by any thread.

    share: of the answers that a copy gives, 0 to 1; 0: none.
    read: the row of an entity and source key as the legacy system has it, by a query that is sent after
    the call. May raise BridgeError.
    watches: collects what the copy applies.
    clock: as of claims.
    """

    def __init__(
        self,
        system: str,
        share: float,
        copy: SupportsBarriers,
        *,
        watches: ChangeWatches,
        read: Callable[[str, tuple[Any, ...]], Awaitable[SourceRow]],
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
        pick: Callable[[], float] = random.random,
    ) -> None:
        self._system = system
        self._share = share
        self._copy = copy
        self._watches = watches
        self._read = read
        self._observer = observer
        self._clock = clock
        self._pick = pick
        self._next_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        #: Answers that weren't compared, until the next that may be. For hits without a call.
        self.skip = self._next_skip()
        self.counts: Counter[AuditVerdict] = Counter()
        #: What was wrong last, and of which entity; empty: nothing.
        self.last_fault = ""

    def consider(self, answer: AuditedAnswer) -> None:
        """The copy gave this answer in this turn of the loop: compare it with the source, if it is its
        turn. Returns at once.
        """
        if self.skip > 0:
            self.skip -= 1
            return
        self.skip = self._next_skip()
        now = self._clock()
        if self._task is not None or now < self._next_at or self._share <= 0:
            return
        self._next_at = now + INTERVAL_S
        # Begun now: a change that is applied before the task's first step counts.
        watching = ExitStack()
        watch = watching.enter_context(self._watches.watching(answer.entity, answer.key))
        self._task = asyncio.get_running_loop().create_task(
            self._audit(answer, watch), name=f"audit of {self._system}"
        )
        self._task.add_done_callback(lambda _: watching.close())

    async def wait_until_idle(self) -> None:
        """Until the audit that runs, if any, has ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        """End an audit that runs. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _next_skip(self) -> int:
        """Answers until the next one, so that each is picked with the same chance."""
        if self._share <= 0:
            return 1 << 62
        return int(2 * self._pick() * (1 / self._share - 1))

    async def _audit(self, answer: AuditedAnswer, watch: ChangeWatch) -> None:
        try:
            judgement = await self._judge(answer, watch)
            self.counts[judgement.verdict] += 1
            if judgement.verdict in WRONG:
                self.last_fault = f"{self._system}.{answer.entity}: {judgement.reason}"
            entity = f"{self._system}.{answer.entity}"
            self._observer(AnswerAudited(entity, str(judgement.verdict), judgement.reason))
        finally:
            self._task = None

    async def _judge(self, answer: AuditedAnswer, watch: ChangeWatch) -> Judgement:
        entity, key = answer.entity, answer.key
        try:
            row = await self._read(entity, answer.source_key)
        except BridgeError as error:
            return Judgement(AuditVerdict.UNDECIDED, f"it can't be read: {error_message(error)}")
        ended_at = self._clock()
        # A barrier that is begun from now on: once it is passed, what the read shows has arrived.
        await self._copy.wait(entity, ended_at + WAIT_S)
        claim = self._copy.claim(entity, key)
        if watch.spoiled or claim is None:
            return Judgement(AuditVerdict.UNDECIDED, watch.spoiled or "the row is in doubt")
        if claim.as_of < ended_at:
            return Judgement(AuditVerdict.UNDECIDED, f"no barrier came back within {WAIT_S:g} s")
        return judge(answer, row, watch.changes, ALLOWANCE_S)
