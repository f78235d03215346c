"""Each guard of the contract of a read, removed in turn, is missed by a scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge.gateway import copied_reads, copy_fills, demanded_reads
from bridge.gateway.batcher import Batcher
from bridge.gateway.cache.held_answers import HeldAnswers
from bridge.gateway.cache.lists import ListEntry
from bridge.gateway.copied_reads import CopiedReads
from bridge.gateway.copy_fills import CopyFills
from bridge.gateway.demanded_reads import DemandedReads
from bridge.gateway.freshness.read_floors import ReadFloor
from bridge.gateway.freshness.read_request import read_request
from bridge.gateway.read_bounds import VisibilityBound
from bridge.model.errors import RetryLater
from bridge.plan.entity_table import EntityTable
from tests.gateway import test_copied_reads as scenarios
from tests.gateway.copied_erp import LaggingCopy, erp_gateway

Patch = Callable[[pytest.MonkeyPatch], None]


def no_causality(patch: pytest.MonkeyPatch) -> None:
    def without_cause(asked_at: float, demands: Any, **more: Any) -> Any:
        return read_request(asked_at, demands._replace(cause=None), **more)

    patch.setattr(demanded_reads, "read_request", without_cause)


def fresh_ignored(patch: pytest.MonkeyPatch) -> None:
    def stale(asked_at: float, demands: Any, **more: Any) -> Any:
        return read_request(asked_at, demands._replace(fresh=False), **more)

    patch.setattr(demanded_reads, "read_request", stale)


def after_ignored(patch: pytest.MonkeyPatch) -> None:
    def without(asked_at: float, demands: Any, **more: Any) -> Any:
        return read_request(asked_at, demands._replace(after=None), **more)

    patch.setattr(demanded_reads, "read_request", without)


def bound_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VisibilityBound, "is_met_by", lambda *_: True)


def standby_trusted(patch: pytest.MonkeyPatch) -> None:
    def is_visible(self: VisibilityBound, visibility: Any) -> bool:
        return all(map(visibility.contains, self.transactions))

    patch.setattr(VisibilityBound, "is_met_by", is_visible)


def held_proves_receipts(patch: pytest.MonkeyPatch) -> None:
    """What was read before a receipt was known counts as showing it."""
    claim = copied_reads._claim_of

    def earlier(entry: Any, proved: Any, terms: Any, **more: Any) -> Any:
        return claim(entry, proved, terms._replace(known_at=float("-inf")), **more)

    patch.setattr(copied_reads, "_claim_of", earlier)


def floor_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReadFloor, "is_met_by", lambda *_: True)


def members_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CopiedReads, "note_members", lambda *_: None)


def members_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copied_reads, "_floor_keys", lambda _, target, __: [target.floor_key])


def applied_not_required(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CopiedReads, "required", lambda *_: frozenset())


def sent_query_joined(patch: pytest.MonkeyPatch) -> None:
    load = Batcher.load

    def joining(self: Any, key: Any) -> Any:
        for query in self._sent:
            if key in query.batch:
                future = asyncio.get_running_loop().create_future()
                query.batch[key].append(future)
                return future
        return load(self, key)

    patch.setattr(Batcher, "load", joining)
    # A handler's read goes by `load`, too.
    many = Batcher.load_many

    def joining_many(self: Any, keys: Any) -> Any:
        if len(keys) != 1 or not self._sent:
            return many(self, keys)

        async def alone() -> list[Any]:
            return [await joining(self, keys[0])]

        return asyncio.ensure_future(alone())

    patch.setattr(Batcher, "load_many", joining_many)


def claim_not_frozen(patch: pytest.MonkeyPatch) -> None:
    def forget(self: Any, entry: Any) -> None:
        if isinstance(entry, ListEntry):
            self._lists.discard(entry)
        else:
            del self.table_of(entry)[entry.key]

    patch.setattr(HeldAnswers, "_forget", forget)


def fill_after_end(patch: pytest.MonkeyPatch) -> None:
    store = CopyFills._store

    def late(self: Any, whole: Any, *more: Any) -> None:
        self._copy.cache.end_read(whole.read, whole)
        store(self, whole, *more)

    patch.setattr(CopyFills, "_store", late)


def failed_read_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CopyFills, "fail", lambda *_: None)


def doubt_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LaggingCopy, "claim", lambda self, *_: self._claim)
    patch.setattr(LaggingCopy, "claim_of_list", lambda self, *_: self._claim)


def every_equality_exact(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(EntityTable, "is_exact", lambda *_: True)


def cut_answer_kept(patch: pytest.MonkeyPatch) -> None:
    fill: Any = CopyFills.fill

    def whole(self: Any, *arguments: Any) -> Any:
        *others, query = arguments
        return fill(self, *others, query or copy_fills.WholeQuery(("customer",), [(1,)]))

    patch.setattr(CopyFills, "fill", whole)


def key_not_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CopiedReads, "forget", lambda *_: None)


def deadline_ignored(patch: pytest.MonkeyPatch) -> None:
    async def for_ever(_: Any, __: Any, ___: Any, ____: Any, reading: Any) -> Any:
        return await asyncio.wait_for(reading, 1.0)

    patch.setattr(DemandedReads, "_in_time", for_ever)


MUTANTS: list[tuple[Patch, Callable[..., Coroutine[Any, Any, None]]]] = [
    (no_causality, scenarios.test_a_handler_never_sees_a_state_before_its_event),
    (fresh_ignored, scenarios.test_fresh_asks_the_legacy_system_each_time),
    (after_ignored, scenarios.test_read_your_own_writes),
    (bound_ignored, scenarios.test_a_server_that_does_not_show_the_event_is_asked_again),
    (standby_trusted, scenarios.test_a_standby_does_not_prove_a_receipt),
    (held_proves_receipts, scenarios.test_what_was_held_before_a_receipt_does_not_prove_it),
    (floor_ignored, scenarios.test_what_an_agent_has_read_never_goes_back),
    (floor_ignored, scenarios.test_absence_that_was_read_never_goes_back),
    (members_not_noted, scenarios.test_a_row_is_no_older_than_the_list_in_which_it_was_read),
    (members_not_compared, scenarios.test_a_list_is_no_older_than_what_was_read_of_its_members),
    (sent_query_joined, scenarios.test_a_read_joins_no_query_that_was_sent_when_its_bound_arose),
    (claim_not_frozen, scenarios.test_a_row_in_somebody_s_hand_claims_more_only_while_it_is_held),
    (fill_after_end, scenarios.test_a_late_answer_brings_nothing_old_back),
    (failed_read_left, scenarios.test_a_failed_query_ends_its_read),
    (doubt_ignored, scenarios.test_in_doubt_the_legacy_system_is_asked),
    (
        every_equality_exact,
        scenarios.test_absence_and_lists_are_asked_for_where_only_the_source_knows_equality,
    ),
    (
        every_equality_exact,
        scenarios.test_a_list_by_a_coarse_text_goes_with_every_change_of_its_entity,
    ),
    (cut_answer_kept, scenarios.test_an_answer_that_a_limit_has_cut_says_so_and_is_no_list),
    (key_not_dropped, scenarios.test_a_receipt_without_a_position_drops_and_reads_through),
]


@pytest.mark.parametrize(
    ("mutant", "scenario"), MUTANTS, ids=[mutant.__name__ for mutant, _ in MUTANTS]
)
async def test_a_guard_that_is_removed_is_missed(
    mutant: Patch,
    scenario: Callable[..., Coroutine[Any, Any, None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    erp = scenarios.sample_erp()
    copy = LaggingCopy(erp)
    copy.follow()
    mutant(monkeypatch)
    arguments = {"erp": erp, "copy": copy, "door": erp_gateway(erp, copy)}
    names = scenario.__code__.co_varnames[: scenario.__code__.co_argcount]
    with pytest.raises((AssertionError, AttributeError, RetryLater, pytest.fail.Exception)):
        await scenario(**{name: arguments[name] for name in names})


@pytest.mark.parametrize(
    ("mutant", "scenario"),
    [
        (applied_not_required, scenarios.test_a_live_answer_shows_what_was_applied_to_the_row),
        (deadline_ignored, scenarios.test_no_read_waits_past_its_deadline),
    ],
)
async def test_a_guard_of_time_that_is_removed_is_missed(
    mutant: Patch, scenario: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp = scenarios.sample_erp()
    copy = LaggingCopy(erp)
    copy.follow()
    mutant(monkeypatch)
    more = {"monkeypatch": monkeypatch} if mutant is applied_not_required else {"held": False}
    with pytest.raises((TimeoutError, pytest.fail.Exception)):
        await scenario(erp, copy, erp_gateway(erp, copy), **more)
