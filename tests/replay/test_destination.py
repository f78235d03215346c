"""Where a replay goes, and what it may be called."""

from __future__ import annotations

import pytest

from bridge.replay.destination import Destination, check_replay_name, parse_destination


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("credit-watch", Destination("agent", "credit-watch")),
        ("agent:credit-watch", Destination("agent", "credit-watch")),
        ("topic:acme.copy", Destination("topic", "acme.copy")),
        ("events.jsonl", Destination("file", "events.jsonl")),
        ("./events", Destination("file", "./events")),
        ("file:events", Destination("file", "events")),
        # An agent's name wins over what looks like a file's.
        ("v1.agent", Destination("agent", "v1.agent")),
    ],
)
def test_a_destination_is_an_agent_a_topic_or_a_file(text: str, destination: Destination) -> None:
    assert parse_destination(text, {"credit-watch", "v1.agent"}) == destination


@pytest.mark.parametrize("text", ["credit_watch", "agent:events.jsonl", "topic:", ""])
def test_what_is_none_of_them_names_the_agents(text: str) -> None:
    with pytest.raises(ValueError, match="agents are credit-watch, other"):
        parse_destination(text, {"other", "credit-watch"})


def test_without_agents_that_is_said() -> None:
    with pytest.raises(ValueError, match="there are no agents"):
        parse_destination("credit-watch", ())


@pytest.mark.parametrize("name", ["night-1", "20260131t100000-123", "a" * 100])
def test_a_replay_may_be_called_what_a_group_can_be(name: str) -> None:
    assert check_replay_name(name) == name


@pytest.mark.parametrize("name", ["", "-night", "Night", "a/b", "a" * 101])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="use letters"):
        check_replay_name(name)
