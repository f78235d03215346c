"""Names of entities and topics on the command line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import click

from bridge.cli.command_runner import NothingFound
from bridge.model import entity_names
from bridge.model.names import change_topic, split_entity


def qualify_entity(entities: Collection[str], name: str) -> str:
    """`entity_names.qualify_entity`. Raises UsageError."""
    try:
        return entity_names.qualify_entity(entities, name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def resolve_topics(
    bridge: str, name: str, entities: Collection[str], topic_names: Collection[str]
) -> list[str]:
    """`entity_names.topics_of_name`. Raises UsageError."""
    try:
        return entity_names.topics_of_name(bridge, name, entities, topic_names)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def existing_topics(
    bridge: str, names: Sequence[str], entities: Collection[str], topic_names: Collection[str]
) -> list[str]:
    """The existing topics of these names; without names every entity's changes.

    Raises NothingFound if none of them is in the log, UsageError as `resolve_topics`.
    """
    wanted: Iterable[str] = (
        [topic for name in names for topic in resolve_topics(bridge, name, entities, topic_names)]
        if names
        else [change_topic(bridge, *split_entity(entity)) for entity in entities]
    )
    topics = list(dict.fromkeys(wanted))
    matching_topics = [topic for topic in topics if topic in topic_names]
    if not matching_topics:
        raise NothingFound(
            f"the log has nothing yet of {', '.join(topics)}: `bridgectl run` captures and "
            "writes it"
        )
    return matching_topics
