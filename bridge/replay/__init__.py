"""Replay: events of the past once more, marked, into an agent, a topic or a file."""

from bridge.replay.event_json import event_json
from bridge.replay.hand_back import hand_back, refuse_others
from bridge.replay.notes import finished_replays
from bridge.replay.rewind import ReplayProgress, replay
from bridge.replay.select import Selection
from bridge.replay.sinks.dry_run import DryRun
from bridge.replay.sinks.json_lines import JsonLinesSink
from bridge.replay.sinks.topic import TopicSink, agent_sink, refuse_own_topic

__all__ = [
    "DryRun",
    "JsonLinesSink",
    "ReplayProgress",
    "Selection",
    "TopicSink",
    "agent_sink",
    "event_json",
    "finished_replays",
    "hand_back",
    "refuse_others",
    "refuse_own_topic",
    "replay",
]
