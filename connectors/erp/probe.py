"""Whether a command whose answer was lost took effect, in a system without a ledger.

| result of a probe | outcome |
|---|---|
| no session, a wrong address | RetryLater |
| answers that don't fit the request | Unsupported: nothing can be concluded from them |
| a refusal | OutcomeUnknown: a person has to find out |
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
"""Rows from which one is chosen that a condition must find."""


@contextmanager
def probe_errors(effect: Effect) -> Iterator[None]:
    """Translates errors within the block to those of `bridge.connector.Writer.probe`."""
    command = f"command {effect.command_id!r}"
    try:
        yield
    except ConfigurationError as error:
        raise RetryLater(str(error)) from error
    except AnswerMismatch as error:
        raise Unsupported(f"{command}: whether it took effect can't be probed: {error}") from error
    except Rejected as error:
        raise OutcomeUnknown(
            f"{command}: the probe whether it took effect was refused: {error}"
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
    """Whether a command took effect, by its row: `done`, or None if it did not.

    - `row`: the row, for people.
    - `deletes`: the command removes it; otherwise it sets values.
    - `exists`, `holds`: whether the row exists, and has the values that the command sets.
    - `repeatable`: a guarded command may be sent again, because its guard decides then.
    - `advice`: what to do if nothing can be concluded. Raises Unsupported if the row has other values.
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
    """Whether a condition finds an existing row, so that an empty answer means that there is none.

    `overlooked` returns a row that exists and that the condition doesn't find, or None. `table` is what
    is asked, for people. Raises OutcomeUnknown if the rows change faster than they can be read.
    """
    try:
        return await contradiction(overlooked) is None
    except RowsChange:
        raise OutcomeUnknown(
            f"{table}: its rows change faster than they can be read; it is tried again"
        ) from None
