"""The state machine of commands, and the picture of it in the docs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.commands.codes import HELD_BACK
from bridge.commands.lifecycle import (
    FINAL_STATES,
    TRANSITIONS,
    CommandLifecycle,
    InvalidTransition,
    LifecycleEvent,
    next_state,
)
from bridge.commands.receipts.builder import held_back, refused
from bridge.model.receipt import Outcome, State
from tests.commands.sqlite_executor import sealed

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
AT = datetime(2026, 11, 29, tzinfo=UTC)
ENDS = {State.SUCCEEDED, State.FAILED, State.REJECTED, State.EXPIRED}


def draw_lifecycle() -> str:
    """The state machine as a Mermaid diagram."""
    events: dict[tuple[str, str], list[str]] = {}
    for transition in TRANSITIONS:
        for source in sorted(transition.sources, key=lambda state: "" if state is None else state):
            edge = ("[*]" if source is None else source.value, transition.target.value)
            events.setdefault(edge, []).append(transition.event.value)
    lines = [
        f"    {source} --> {target}: {', '.join(names)}"
        for (source, target), names in events.items()
    ]
    ends = [f"    {state.value} --> [*]" for state in State if state in ENDS]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, *ends, "```"])


def test_the_docs_draw_the_states_that_the_code_has() -> None:
    """Left as it is, a picture of a state machine is wrong after the next change."""
    drawn = draw_lifecycle()
    assert drawn in DOCS.read_text(), f"docs/commands.md needs this diagram:\n{drawn}"


def test_no_event_leads_to_two_states() -> None:
    pairs = [(row.event, source) for row in TRANSITIONS for source in row.sources]
    assert len(pairs) == len(set(pairs))


def test_nothing_happens_to_a_command_that_has_ended() -> None:
    for state in (*ENDS, State.AWAITING_APPROVAL):
        for event in LifecycleEvent:
            with pytest.raises(InvalidTransition, match=f"a command that is {state}"):
                next_state(state, event)


def test_every_end_but_cancellation_can_be_reached() -> None:
    reached = {transition.target for transition in TRANSITIONS}
    assert set(FINAL_STATES.values()) - reached == {State.CANCELLED}


def test_a_command_that_is_held_gives_back_an_execution_that_the_log_does_not_have() -> None:
    """Nothing of it has happened, so no audit record may say that it was executed."""
    lifecycle = CommandLifecycle(sealed("raise_total"))
    lifecycle.receive(AT)
    lifecycle.validate(AT)
    lifecycle.execute(AT)
    lifecycle.hold(held_back(lifecycle.command, "no right", AT))
    states = [transition.state for transition in lifecycle.transitions]
    assert states == [State.RECEIVED, State.VALIDATED, State.VALIDATED]
    assert (lifecycle.is_held, lifecycle.transitions[-1].code) == (True, HELD_BACK)


def test_an_execution_that_the_log_has_is_not_taken_back() -> None:
    lifecycle = CommandLifecycle(sealed("raise_total"))
    lifecycle.execute(AT)
    lifecycle.mark_logged()
    lifecycle.hold(held_back(lifecycle.command, "no right", AT))
    assert [transition.state for transition in lifecycle.unlogged] == [State.VALIDATED]
    assert lifecycle.is_logged


def test_a_receipt_in_the_log_voids_what_happened_here_since() -> None:
    lifecycle = CommandLifecycle(sealed("raise_total"))
    lifecycle.execute(AT)
    lifecycle.mark_logged()
    lifecycle.doubt("no answer", AT)
    lifecycle.answer_from_log(Outcome.SUCCEEDED)
    assert (lifecycle.unlogged, lifecycle.logged_outcome) == ([], Outcome.SUCCEEDED)
    assert lifecycle.state == State.EXECUTING


def test_a_command_ends_once() -> None:
    lifecycle = CommandLifecycle(sealed("raise_total"))
    lifecycle.receive(AT)
    receipt = refused(lifecycle.command, Outcome.REJECTED, "bad_args", "no", AT)
    lifecycle.finish(receipt)
    with pytest.raises(InvalidTransition):
        lifecycle.finish(receipt)
    assert lifecycle.receipt == receipt
