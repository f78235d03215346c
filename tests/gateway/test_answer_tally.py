from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.answer_tally import AGES_S, AnswerTally


def test_nobody_has_read() -> None:
    assert AnswerTally().summary() == "no reads yet"


def test_shares_of_all_entities_and_the_oldest_answer() -> None:
    tally = AnswerTally()
    tally.of("order").cache += 2
    tally.of("order").note_age(0.125, 2)
    tally.of("customer").legacy += 1
    tally.of("customer").peers += 1
    assert tally.of("order") is tally.of("order")
    assert tally.summary() == (
        "4 answers: cache 50%, peers 25%, legacy 25%; the oldest answer of the copy was 0.12 s old"
    )


@given(st.lists(st.floats(-1, 1_000)))
def test_each_age_is_in_the_class_that_it_doesnt_exceed(ages: list[float]) -> None:
    answers = AnswerTally().of("order")
    for age in ages:
        answers.note_age(age)
    bounds = [*AGES_S, float("inf")]
    lower = [float("-inf"), *AGES_S]
    expected = [
        sum(low < max(0.0, age) <= high for age in ages)
        for low, high in zip(lower, bounds, strict=True)
    ]
    assert answers.ages == expected
    assert answers.oldest == max([0.0, *ages])
