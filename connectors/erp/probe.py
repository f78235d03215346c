"""Whether a command whose answer was lost took effect, in a system without a ledger.

| what a probe meets | outcome |
|---|---|
| no session, a wrong address | RetryLater |
| answers that don't belong to the question | Unsupported: nothing can be concluded from them |
| a refusal | OutcomeUnknown: a person finds out |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from bridge.connector import Done, Effect
from bridge.connector.answer_check import AnswerMismatch
from bridge.connector.answer_contradictions import RowsChange, contradiction
from bridge.model.errors import (
    ConfigurationError,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    Unsupported,
)

MAX_CONTROL_ROWS = 20
"""Rows that are read to choose one from which a condition must find."""


@contextmanager
def probe_errors(effect: Effect) -> Iterator[None]:
    """Errors of the questions inside, as `bridge.connector.Writer.probe` raises them."""
    command = f"command {effect.command_id!r}"
    try:
        yield
    except ConfigurationError as error:
        raise RetryLater(str(error)) from error
    except AnswerMismatch as error:
        raise Unsupported(f"{command}: whether it took effect can't be probed: {error}") from error
    except Rejected as error:
        raise OutcomeUnknown(
            f"{command}: the question whether it took effect was refused: {error}"
        ) from error


def conclude_from_row(
    effect: Effect,
    *,
    row: str,
    deletes: bool,
    exists: bool,
    holds: bool,
    repeatable: bool,
    done: Done,
    advice: str,
) -> Done | None:
    """What the row that a command changes says about it: `done`, or None where it did not take effect.

    - `row`: the row, for people.
    - `deletes`: the command removes it; otherwise it sets values.
    - `exists`, `holds`: whether the row is there, and holds what the command sets.
    - `repeatable`: a guarded command may be sent again, because its guard decides then.
    - `advice`: what to do where nothing can be concluded.

    Raises Unsupported where the row holds something else.
    """
    if deletes:
        return None if exists else done
    if not exists:
        return None
    if holds:
        return done
    if repeatable and effect.guard is not None:
        return None
    raise Unsupported(
        f"command {effect.command_id!r}: {row} holds something else than the command sets, which may "
        f"have been there before or come later; {advice}"
    )


async def finds_existing_rows(overlooked: Callable[[], Awaitable[str | None]], table: str) -> bool:
    """Whether a condition finds a row that exists, so that finding none means that none is there.

    `overlooked` returns a row that exists and that the condition doesn't find, or None. `table` is what
    is asked, for people. Raises OutcomeUnknown where the rows change faster than they can be asked for.
    """
    try:
        return await contradiction(overlooked) is None
    except RowsChange:
        raise OutcomeUnknown(
            f"{table}: its rows change faster than they can be asked for; it is asked again"
        ) from None
