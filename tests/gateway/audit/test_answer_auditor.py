"""The audit's life: which answers, what it waits for, what it may not decide."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.gateway.audit.answer_auditor import INTERVAL_S, WAIT_S, AnswerAuditor
from bridge.gateway.audit.change_watches import MAX_CHANGES, ChangeWatches
from bridge.gateway.audit.verdict import AuditedAnswer, AuditVerdict, ChangeSince, SourceRow
from bridge.model.errors import RetryLater
from bridge.model.freshness import Freshness
from bridge.observe import AnswerAudited, Notice

CLAIM = Freshness("erp", 1, "0001", 100.0)
ANSWER = AuditedAnswer("order", b"1", (1,), b"a", CLAIM)
CHANGE = ChangeSince(b"b", True, "0002", 200.0)


@dataclass
class FollowedSystem:
    """A source with one row, and a copy of which the test says what it has applied."""

    row: bytes | None = b"a"
    now: float = 150.0
    claimed: Freshness | None = field(default_factory=lambda: Freshness("erp", 1, "0009", 151.0))
    read_error: Exception | None = None
    watches: ChangeWatches = field(default_factory=ChangeWatches)
    waited: list[float] = field(default_factory=list)
    reads: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    while_reading: list[ChangeSince] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    def claim(self, entity: str, key: bytes | None = None) -> Freshness | None:
        del entity, key
        return self.claimed

    async def wait(self, entity: str, until: float) -> None:
        del entity
        self.waited.append(until)

    async def read(self, entity: str, key: tuple[Any, ...]) -> SourceRow:
        self.reads.append((entity, key))
        for change in self.while_reading:
            self.watches.note(entity, b"1", change)
        if self.read_error is not None:
            raise self.read_error
        return SourceRow(self.row)

    def auditor(self, share: float = 1.0, seed: int = 7) -> AnswerAuditor:
        return AnswerAuditor(
            "erp",
            share,
            self,
            watches=self.watches,
            read=self.read,
            observer=self.notices.append,
            clock=lambda: self.now,
            pick=random.Random(seed).random,  # noqa: S311 - no secret
        )


async def verdict_of(system: FollowedSystem, answer: AuditedAnswer = ANSWER) -> AuditVerdict:
    auditor = system.auditor()
    auditor.consider(answer)
    await auditor.wait_until_idle()
    [verdict] = auditor.counts.elements()
    assert not system.watches
    return verdict


async def test_the_same_row_is_the_same() -> None:
    system = FollowedSystem()
    assert await verdict_of(system) is AuditVerdict.SAME
    assert system.reads == [("order", (1,))]
    assert system.notices == [AnswerAudited("erp.order", "same", "")]
    assert system.waited == [system.now + WAIT_S]


async def test_a_change_that_arrives_meanwhile_explains_the_difference() -> None:
    system = FollowedSystem(row=b"b", while_reading=[CHANGE])
    assert await verdict_of(system) is AuditVerdict.CHANGED_SINCE


async def test_a_change_that_is_applied_before_the_audits_first_step_counts() -> None:
    system = FollowedSystem(row=b"b")
    auditor = system.auditor()
    auditor.consider(ANSWER)
    system.watches.note("order", b"1", CHANGE)
    await auditor.wait_until_idle()
    assert auditor.counts == {AuditVerdict.CHANGED_SINCE: 1}


async def test_changes_of_other_rows_explain_nothing() -> None:
    system = FollowedSystem(row=b"b")
    auditor = system.auditor()
    auditor.consider(ANSWER)
    system.watches.note("order", b"2", CHANGE)
    system.watches.note("customer", b"1", CHANGE)
    await auditor.wait_until_idle()
    assert auditor.counts == {AuditVerdict.DIFFERS: 1}
    assert auditor.last_fault.startswith("erp.order: the source has the row")


async def test_a_change_that_was_claimed_and_is_missing_is_a_fault_with_its_entity() -> None:
    early = CHANGE._replace(committed_at=50.0)
    system = FollowedSystem(row=b"b", while_reading=[early])
    auditor = system.auditor()
    auditor.consider(ANSWER)
    await auditor.wait_until_idle()
    assert auditor.counts == {AuditVerdict.OLDER_THAN_CLAIM: 1}
    assert "0002" in auditor.last_fault


@pytest.mark.parametrize(
    ("system", "reason"),
    [
        (FollowedSystem(claimed=None), "in doubt"),
        (FollowedSystem(claimed=Freshness("erp", 1, "0009", 149.9)), "no barrier came back"),
        (FollowedSystem(read_error=RetryLater("the ERP is down")), "the ERP is down"),
    ],
    ids=["doubt", "no barrier", "no answer"],
)
async def test_nothing_is_blamed_where_it_cant_be_compared(
    system: FollowedSystem, reason: str
) -> None:
    system.row = b"x"
    assert await verdict_of(system) is AuditVerdict.UNDECIDED
    [notice] = system.notices
    assert isinstance(notice, AnswerAudited)
    assert reason in notice.reason


async def test_a_watch_that_missed_changes_decides_nothing() -> None:
    for entity, key in ((None, None), ("order", None), ("order", b"1")):
        system = FollowedSystem(row=b"x")
        auditor = system.auditor()
        auditor.consider(ANSWER)
        system.watches.spoil("the table was truncated", entity, key)
        await auditor.wait_until_idle()
        assert auditor.counts == {AuditVerdict.UNDECIDED: 1}
    system = FollowedSystem(row=b"x", while_reading=[CHANGE] * (MAX_CHANGES + 1))
    assert await verdict_of(system) is AuditVerdict.UNDECIDED
    system = FollowedSystem(row=b"x")
    auditor = system.auditor()
    auditor.consider(ANSWER)
    system.watches.spoil("not this one", "order", b"2")
    system.watches.spoil("not this one", "customer")
    await auditor.wait_until_idle()
    assert auditor.counts == {AuditVerdict.DIFFERS: 1}


async def test_none_too_often() -> None:
    system = FollowedSystem()
    auditor = system.auditor()
    for seconds in (0, 0.9 * INTERVAL_S, 0.1 * INTERVAL_S):
        system.now += seconds
        system.claimed = Freshness("erp", 1, "0009", system.now)
        auditor.consider(ANSWER)
        await auditor.wait_until_idle()
    assert len(system.reads) == 2


async def test_one_at_a_time() -> None:
    system = FollowedSystem()
    auditor = system.auditor()
    auditor.consider(ANSWER)
    system.now += 10 * INTERVAL_S
    auditor.consider(ANSWER)
    system.claimed = Freshness("erp", 1, "0009", system.now)
    await auditor.wait_until_idle()
    assert len(system.reads) == 1


async def test_the_share_is_kept_on_average_and_none_is_none() -> None:
    system = FollowedSystem()
    auditor = system.auditor(0.1)
    for _ in range(10_000):
        system.now += 10 * INTERVAL_S
        auditor.consider(ANSWER)
        await auditor.wait_until_idle()
    assert 900 < auditor.counts.total() < 1_100
    silent = system.auditor(0.0)
    silent.skip = 0
    for _ in range(1_000):
        silent.consider(ANSWER)
    await silent.wait_until_idle()
    assert silent.counts.total() == 0


async def test_an_audit_that_is_cancelled_leaves_no_watch() -> None:
    system = FollowedSystem()
    reads = asyncio.Event()

    async def never(entity: str, key: tuple[Any, ...]) -> SourceRow:
        del entity, key
        reads.set()
        await asyncio.Event().wait()
        raise AssertionError

    system.read = never  # type: ignore[method-assign]
    auditor = system.auditor()
    auditor.consider(ANSWER)
    await reads.wait()
    await auditor.close()
    assert not system.watches
    auditor.consider(ANSWER)
    await auditor.close()
    assert not system.watches
    await auditor.close()
