"""Replay: events of the past once more, marked, into an agent, a topic or a file."""

from bridge.replay.dead import hand_back, refuse_others
from bridge.replay.notes import finished_replays
from bridge.replay.rewind import Progress, replay
from bridge.replay.select import Selection
from bridge.replay.sinks import (
    IntoTopic,
    JsonLines,
    Nowhere,
    event_json,
    into_agent,
    refuse_own_topic,
)

__all__ = [
    "IntoTopic",
    "JsonLines",
    "Nowhere",
    "Progress",
    "Selection",
    "event_json",
    "finished_replays",
    "hand_back",
    "into_agent",
    "refuse_others",
    "refuse_own_topic",
    "replay",
]
