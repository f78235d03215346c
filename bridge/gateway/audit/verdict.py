"""Whether an answer of a copy was as fresh as it claimed, judged by the source and by the log. Pure.

The source is read after the answer, and the row's changes are collected from the answer on, until all
that was committed before that read has arrived. Whatever the source has and the answer had not must
then be one of these changes; and the first of them must not have been committed before the time as of
which the answer claimed to be true.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from bridge.model.freshness import Freshness


class AuditVerdict(StrEnum):
    """What comparing an answer with the source showed.

    SAME: the source has the same row, or has none either.
    CHANGED_SINCE: the row has been changed since; the claim was right.
    OLDER_THAN_CLAIM: a change that the answer claimed to contain was missing.
    DIFFERS: the source has something else, and no change since explains it.
    UNDECIDED: it couldn't be compared.
    """

    SAME = "same"
    CHANGED_SINCE = "changed_since"
    OLDER_THAN_CLAIM = "older_than_claim"
    DIFFERS = "differs"
    UNDECIDED = "undecided"


WRONG: Final = frozenset({AuditVerdict.OLDER_THAN_CLAIM, AuditVerdict.DIFFERS})
"""What must never be."""


class AuditedAnswer(NamedTuple):
    """An answer that was handed out.

    entity: bare name.
    key: bytes of the log's key less its schema id. source_key: its values in the source's own form.
    payload: as the copy holds rows; None: there was none.
    claim: with which it was handed out.
    """

    entity: str
    key: bytes
    source_key: tuple[Any, ...]
    payload: Any
    claim: Freshness


class SourceRow(NamedTuple):
    """The row as the legacy system has it. `payload`: as `AuditedAnswer.payload`."""

    payload: Any


class ChangeSince(NamedTuple):
    """A change of the row that was applied after the answer, in their order.

    payload: the row afterwards; None: it was deleted.
    is_whole: whether the payload has every field.
    position: in the system's history.
    committed_at: when, by the source's clock, as seconds on the clock of claims; None: not reported.
    """

    payload: Any
    is_whole: bool
    position: str
    committed_at: float | None


class Judgement(NamedTuple):
    """reason: for people; empty where nothing is wrong."""

    verdict: AuditVerdict
    reason: str = ""


def judge(
    answer: AuditedAnswer, row: SourceRow, changes: Sequence[ChangeSince], allowance: float
) -> Judgement:
    """Judge an answer by the source's row and all changes since that may be visible in it.

    allowance: seconds by which the source's clock may be behind that of this process.
    """
    missing = next((each for each in changes if not _is_repeated(answer, each)), None)
    if missing is not None and (broken := _broken_claim(answer.claim, missing, allowance)):
        return Judgement(AuditVerdict.OLDER_THAN_CLAIM, broken)
    if row.payload == answer.payload:
        return Judgement(AuditVerdict.SAME)
    if any(_explains(each, row) for each in changes):
        return Judgement(AuditVerdict.CHANGED_SINCE)
    source = "has the row" if row.payload is not None else "has no such row"
    had = "another row" if answer.payload is not None else "that there is none"
    return Judgement(
        AuditVerdict.DIFFERS,
        f"the source {source}, the answer was {had}, and none of the {len(changes)} changes since "
        "made it so",
    )


def _is_repeated(answer: AuditedAnswer, change: ChangeSince) -> bool:
    """Whether the answer shows what the change made, such as an event that is delivered again."""
    return change.is_whole and bool(change.payload == answer.payload)


def _broken_claim(claim: Freshness, missing: ChangeSince, allowance: float) -> str:
    """Why the claim was wrong, if the answer lacked this change; empty: it wasn't."""
    if missing.position <= claim.position:
        return f"it claimed position {claim.position} and lacked the change at {missing.position}"
    if missing.committed_at is None:
        return ""
    late = claim.as_of - missing.committed_at - allowance
    if late > 0:
        return (
            f"it lacked the change at {missing.position}, which the source committed "
            f"{late + allowance:.3f} s before the time that it claimed"
        )
    return ""


def _explains(change: ChangeSince, row: SourceRow) -> bool:
    """Whether the source's row may be what this change made."""
    return not change.is_whole or bool(change.payload == row.payload)
