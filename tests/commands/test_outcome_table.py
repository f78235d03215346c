from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from bridge.commands.receipts.outcome_table import OutcomeTable, RecordedOutcome, recorded_outcome
from bridge.model.receipt import Outcome

IDS = st.sampled_from([f"agent:{number}" for number in range(40)])
GIVEN = st.builds(
    recorded_outcome, st.sampled_from(["a" * 64, "b" * 64]), st.sampled_from(list(Outcome))
)


@given(st.lists(st.tuples(IDS, st.none() | GIVEN)))
def test_the_first_answer_to_an_id_stays_unless_it_says_that_nobody_knows(
    told: list[tuple[str, RecordedOutcome | None]],
) -> None:
    answers, expected = OutcomeTable(), dict[str, RecordedOutcome]()
    for command_id, one in told:
        first = expected.get(command_id)
        open_ = first is not None and first.outcome == Outcome.UNKNOWN_OUTCOME
        if one is None:
            answers.withdraw(command_id)
            if open_:
                del expected[command_id]
            continue
        answers.add(command_id, one)
        if first is None or (open_ and first.content == one.content):
            expected[command_id] = one
    for number in range(40):
        command_id = f"agent:{number}"
        assert answers.get(command_id) == expected.get(command_id)


def test_a_hundred_thousand_answers_take_a_few_megabytes_and_are_all_told_apart() -> None:
    answers = OutcomeTable()
    for number in range(100_000):
        answers.add(f"agent:{number}", recorded_outcome(str(number), Outcome.FAILED))
    assert all(
        (found := answers.get(f"agent:{number}")) is not None and found.is_for(str(number))
        for number in range(0, 100_000, 997)
    )
    assert answers.get("agent:100000") is None
    assert answers.nbytes < 12_000_000


def test_an_answer_is_for_its_own_content_only() -> None:
    assert recorded_outcome("a" * 64, Outcome.FAILED).is_for("a" * 64)
    assert not recorded_outcome("a" * 64, Outcome.FAILED).is_for("b" * 64)
