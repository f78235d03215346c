"""Verdicts about answers, against histories of which everything is known."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.audit.verdict import (
    AuditedAnswer,
    AuditVerdict,
    ChangeSince,
    SourceRow,
    judge,
)
from bridge.model.freshness import Freshness

ALLOWANCE = 1.0


@dataclass(frozen=True)
class RowHistory:
    """values[i] was committed at i * 10 seconds, at position i; values[0] was there before."""

    values: list[bytes | None]

    def claim(self, state: int, seconds: float) -> Freshness:
        """The youngest claim that is right for this state, less `seconds`."""
        return Freshness("erp", 1, f"{state:04}", (state + 1) * 10.0 - seconds)

    def changes(self, after: int, until: int) -> list[ChangeSince]:
        return [
            ChangeSince(self.values[number], True, f"{number:04}", number * 10.0)
            for number in range(after + 1, until + 1)
        ]


histories = st.lists(st.sampled_from([b"a", b"b", b"c", None]), min_size=1, max_size=8).map(
    RowHistory
)


@given(histories, st.data())
def test_a_right_answer_is_never_blamed(history: RowHistory, data: st.DataObject) -> None:
    last = len(history.values) - 1
    answered = data.draw(st.integers(0, last))
    read = data.draw(st.integers(answered, last))
    arrived = data.draw(st.integers(read, last))
    # A copy answers with what it applied; what it claims may be less. What was applied may come again.
    claim = history.claim(data.draw(st.integers(0, answered)), data.draw(st.floats(0, 50)))
    again = data.draw(st.integers(0, answered))
    changes = history.changes(max(again, answered - 1), arrived)
    answer = AuditedAnswer("order", b"1", (1,), history.values[answered], claim)
    verdict = judge(answer, SourceRow(history.values[read]), changes, ALLOWANCE).verdict
    assert verdict in (AuditVerdict.SAME, AuditVerdict.CHANGED_SINCE)
    if history.values[answered] == history.values[read]:
        assert verdict is AuditVerdict.SAME


@given(histories, st.data())
def test_an_answer_that_lacks_what_it_claims_is_found(
    history: RowHistory, data: st.DataObject
) -> None:
    last = len(history.values) - 1
    answered = data.draw(st.integers(0, last))
    changes = history.changes(answered, last)
    lacks = [each for each in changes if each.payload != history.values[answered]]
    if not lacks:
        return
    by_position = data.draw(st.booleans())
    right = history.claim(answered, 5)
    claim = (
        Freshness("erp", 1, lacks[0].position, right.as_of)
        if by_position
        else Freshness("erp", 1, right.position, int(lacks[0].position) * 10 + ALLOWANCE + 0.5)
    )
    answer = AuditedAnswer("order", b"1", (1,), history.values[answered], claim)
    for read in range(answered, last + 1):
        row = SourceRow(history.values[read])
        judgement = judge(answer, row, changes, ALLOWANCE)
        assert judgement.verdict is AuditVerdict.OLDER_THAN_CLAIM
        assert lacks[0].position in judgement.reason


@given(histories, st.sampled_from([b"x", None]), st.data())
def test_what_no_change_explains_is_a_difference(
    history: RowHistory, value: bytes | None, data: st.DataObject
) -> None:
    last = len(history.values) - 1
    answered = data.draw(st.integers(0, last))
    changes = history.changes(answered, last)
    if value in [history.values[answered], *(each.payload for each in changes)]:
        return
    answer = AuditedAnswer(
        "order", b"1", (1,), history.values[answered], history.claim(answered, 5)
    )
    judgement = judge(answer, SourceRow(value), changes, ALLOWANCE)
    assert judgement.verdict is AuditVerdict.DIFFERS
    assert f"{len(changes)} changes since" in judgement.reason


def test_a_change_without_all_fields_may_explain_anything() -> None:
    answer = AuditedAnswer("order", b"1", (1,), b"a", Freshness("erp", 1, "0001", 15.0))
    partial = ChangeSince(b"?", False, "0002", 20.0)
    assert judge(answer, SourceRow(b"x"), [partial], 1.0).verdict is AuditVerdict.CHANGED_SINCE


def test_the_clocks_of_source_and_reader_may_differ_by_the_allowance() -> None:
    answer = AuditedAnswer("order", b"1", (1,), b"a", Freshness("erp", 1, "0001", 21.0))
    change = ChangeSince(b"b", True, "0002", 20.0)
    assert judge(answer, SourceRow(b"b"), [change], 1.0).verdict is AuditVerdict.CHANGED_SINCE
    late = judge(answer, SourceRow(b"b"), [change], 0.99)
    assert late.verdict is AuditVerdict.OLDER_THAN_CLAIM
    assert "1.000 s before" in late.reason


def test_where_the_source_reports_no_time_positions_alone_decide() -> None:
    change = ChangeSince(b"b", True, "0002", None)
    for position, verdict in (
        ("0001", AuditVerdict.CHANGED_SINCE),
        ("0002", AuditVerdict.OLDER_THAN_CLAIM),
    ):
        answer = AuditedAnswer("order", b"1", (1,), b"a", Freshness("erp", 1, position, 9e9))
        assert judge(answer, SourceRow(b"b"), [change], 1.0).verdict is verdict
