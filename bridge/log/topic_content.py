"""What a topic contains, by its name. Pure."""

from __future__ import annotations

from collections.abc import Container


def belongs_to_bridge(bridge: str, topic: str) -> bool:
    """Whether a topic is one of this bridge's, internal ones included."""
    return topic.startswith((f"{bridge}.", f"_{bridge}."))


def topic_content(bridge: str, topic: str, entities: Container[str]) -> str:
    """`internal`, `changes` (of an entity in `entities`), the name of a fixed topic such as
    `commands`, or `other`.
    """
    if topic.startswith("_"):
        return "internal"
    name = topic.removeprefix(f"{bridge}.")
    if name in entities:
        return "changes"
    return name if "." not in name else "other"
