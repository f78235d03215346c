"""What a row says about a command whose answer was lost."""

from __future__ import annotations

import pytest

from bridge.connector import Done, Effect
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    Unsupported,
)
from connectors.erp.probe import conclude_from_row, finds_existing_rows, probe_errors

DONE = Done(rows=1)


def effect(*, guarded: bool = False) -> Effect:
    """A command that changes a sale."""
    guard = (lambda _shape, _row: None) if guarded else None
    return Effect("c1", "digest", "", {}, "sale", {}, guard)


def conclude(
    *,
    exists: bool = True,
    holds: bool = False,
    deletes: bool = False,
    repeatable: bool = True,
    guarded: bool = False,
) -> Done | None:
    """The conclusion from such a row."""
    return conclude_from_row(
        effect(guarded=guarded),
        row="sale(7)",
        deletes=deletes,
        exists=exists,
        holds=holds,
        repeatable=repeatable,
        done=DONE,
        advice="declare a probe",
    )


def test_a_deletion_took_effect_where_its_row_is_gone() -> None:
    assert conclude(deletes=True, exists=False) == DONE
    assert conclude(deletes=True, exists=True) is None


def test_a_change_took_effect_where_its_row_holds_what_it_sets() -> None:
    assert conclude(holds=True) == DONE
    assert conclude(exists=False) is None


def test_a_guarded_change_whose_row_holds_something_else_may_be_sent_again() -> None:
    assert conclude(guarded=True) is None


@pytest.mark.parametrize("repeatable", [True, False])
def test_of_another_row_that_holds_something_else_nothing_can_be_concluded(
    repeatable: bool,
) -> None:
    with pytest.raises(Unsupported, match=r"'c1': sale\(7\) holds something else.*declare a probe"):
        conclude(repeatable=repeatable, guarded=not repeatable)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ConfigurationError("no session"), RetryLater),
        (AnswerMismatch("other rows came"), Unsupported),
        (Rejected("forbidden", "no"), OutcomeUnknown),
        (RetryLater("busy"), RetryLater),
    ],
)
def test_errors_of_a_probe_say_what_the_executor_should_do(
    error: BridgeError, raised: type[BridgeError]
) -> None:
    with pytest.raises(raised, match=str(error)) as caught, probe_errors(effect()):
        raise error
    assert type(caught.value) is raised


async def test_rows_that_change_faster_than_they_are_asked_for_leave_the_outcome_unknown() -> None:
    looks = iter(range(100))

    async def another_row_each_time() -> str:
        return str(next(looks))

    with pytest.raises(OutcomeUnknown, match="sale: its rows change faster"):
        await finds_existing_rows(another_row_each_time, "sale")


async def test_a_condition_that_overlooks_the_same_row_again_and_again_finds_nothing() -> None:
    async def same_row() -> str:
        return "7"

    async def no_row() -> None:
        return None

    assert not await finds_existing_rows(same_row, "sale")
    assert await finds_existing_rows(no_row, "sale")
