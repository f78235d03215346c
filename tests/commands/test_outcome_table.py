from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from bridge.commands.receipts.outcome_table import OutcomeTable, RecordedOutcome, recorded_outcome
from bridge.model.receipt import Outcome

IDS = st.sampled_from([f"agent:{number}" for number in range(40)])
OUTCOMES = st.builds(
    recorded_outcome, st.sampled_from(["a" * 64, "b" * 64]), st.sampled_from(list(Outcome))
)


@given(st.lists(st.tuples(IDS, st.none() | OUTCOMES)))
def test_the_first_answer_to_an_id_stays_unless_it_says_that_nobody_knows(
    added: list[tuple[str, RecordedOutcome | None]],
) -> None:
    answers, expected = OutcomeTable(), dict[str, RecordedOutcome]()
    for command_id, recorded in added:
        first = expected.get(command_id)
        open_ = first is not None and first.outcome == Outcome.UNKNOWN_OUTCOME
        if recorded is None:
            answers.withdraw(command_id)
            if open_:
                del expected[command_id]
            continue
        answers.add(command_id, recorded)
        if first is None or (open_ and first.content == recorded.content):
            expected[command_id] = recorded
    for number in range(40):
        command_id = f"agent:{number}"
        assert answers.get(command_id) == expected.get(command_id)


def test_a_hundred_thousand_answers_take_a_few_megabytes_and_are_all_told_apart() -> None:
    answers = OutcomeTable()
    for number in range(100_000):
        answers.add(f"agent:{number}", recorded_outcome(str(number), Outcome.FAILED))
    assert all(
        (recorded := answers.get(f"agent:{number}")) is not None and recorded.is_for(str(number))
        for number in range(0, 100_000, 997)
    )
    assert answers.get("agent:100000") is None
    assert answers.nbytes < 12_000_000


def test_an_answer_is_for_its_own_content_only() -> None:
    assert recorded_outcome("a" * 64, Outcome.FAILED).is_for("a" * 64)
    assert not recorded_outcome("a" * 64, Outcome.FAILED).is_for("b" * 64)
