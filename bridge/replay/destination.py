"""Where a replay goes: an agent, a topic or a file; and what a replay may be called."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bridge.log.port import Log
from bridge.replay.contract import Sink
from bridge.replay.sinks.json_lines import JsonLinesSink
from bridge.replay.sinks.topic import TopicSink, agent_sink

_REPLAY_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where replayed events go: an agent's name, a topic's, or a file's path."""

    kind: Literal["agent", "topic", "file"]
    name: str


def parse_destination(text: str, agents: Collection[str]) -> Destination:
    """`credit-watch` (or `agent:..`), `topic:name`, `events.jsonl` (or `file:..`). Pure.

    Raises ValueError for what is neither an agent nor looks like a file.
    """
    kind, colon, name = text.partition(":")
    if colon and name and kind in ("topic", "file"):
        return Destination("topic" if kind == "topic" else "file", name)
    bare = name if colon and kind == "agent" else text
    if bare in agents:
        return Destination("agent", bare)
    if bare == text and ("/" in text or "." in text):
        return Destination("file", text)
    agents_text = f"agents are {', '.join(sorted(agents))}" if agents else "there are no agents"
    raise ValueError(
        f"{agents_text}; a file has a dot or a slash in its name, a topic is topic:NAME"
    )


def check_replay_name(name: str) -> str:
    """Return `name` when a replay may be called that. Raises ValueError."""
    if not _REPLAY_NAME.fullmatch(name):
        raise ValueError("use letters, digits, dots, dashes, underscores")
    return name


def make_sink(
    log: Log, bridge: str, replay_name: str, destination: Destination, *, resumable: bool
) -> Sink:
    """What takes the replayed events there.

    resumable: whether a later replay of this name continues after this one; a file always is
    continued
    """
    if destination.kind == "agent":
        return agent_sink(log, bridge, replay_name, destination.name, resumable=resumable)
    if destination.kind == "topic":
        return TopicSink(log, bridge, replay_name, destination.name, resumable=resumable)
    return JsonLinesSink(Path(destination.name))
