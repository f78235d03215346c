"""The demo's story explains what a newcomer sees first."""

import io

import pytest
from click.testing import CliRunner
from rich.console import Console

from bridge.cli.app import group
from bridge.cli.demo import BACK_AGAIN, TAKING_OVER, _note_takeover
from bridge.cli.demo.screen import OUTCOMES, outcome_words, panel
from bridge.cli.demo.tally import DemoTally
from bridge.cli.demo.verification import commands_wrong


def test_commands_that_the_story_wants_to_fail_say_why() -> None:
    tally = DemoTally()
    tally.outcomes.update({"succeeded": 85, "conflict": 16, "not_found": 5})
    words = outcome_words(tally)
    assert words[1] == "16 refused, because a user had changed the order since the agent saw it"
    assert not any("failed" in phrase for phrase in words)
    assert commands_wrong(tally, {}) == []


@pytest.mark.parametrize("outcome", ["misconfigured", "unavailable", "expired", "rejected"])
def test_commands_that_fail_for_another_reason_are_a_mistake(outcome: str) -> None:
    assert outcome not in OUTCOMES
    tally = DemoTally()
    tally.outcomes[outcome] = 3
    assert commands_wrong(tally, {}) == [
        f"3 commands ended as {outcome}, which the story has no reason for"
    ]


def test_every_figure_of_the_screen_says_what_it_is() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(panel(DemoTally(), 0, "demo"))
    rows = [row.strip("│ \n") for row in console.export_text().splitlines() if "│" in row]
    for row in filter(None, rows):
        name, _, rest = row.partition("  ")
        assert name == "executor" or len(rest.split("   ", 1)[-1].split()) >= 3, row


def test_a_folder_that_can_not_be_written_is_a_sentence() -> None:
    answer = CliRunner().invoke(group, ["demo", "--folder", "/proc/no/demo"])
    assert answer.exit_code == 2
    assert "/proc/no/demo can't be written" in answer.stderr
    assert "--folder" in answer.stderr


def test_a_new_executor_is_back_when_it_answers_and_waits_until_then() -> None:
    """For ten seconds the figure of answers stood still beside the words `back again`."""
    tally = DemoTally()
    tally.outcomes.update(["succeeded"] * 5)
    tally.executor = TAKING_OVER
    _note_takeover(tally, 5)
    assert "waits some 10 s" in tally.executor
    tally.outcomes.update(["succeeded"])
    _note_takeover(tally, 5)
    assert tally.executor == BACK_AGAIN
