"""Which topics a name on the command line means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import click

from bridge.cli.command_runner import NothingFound
from bridge.model.names import SYSTEM_TOPICS, change_topic, system_topic


def resolve_topics(
    bridge: str, name: str, entities: Collection[str], topic_names: Collection[str]
) -> list[str]:
    """The topics that `name` means: an entity (`erp.sales_order`, or `sales_order` where only one
    system has it), a system (all of its entities), a fixed topic (`commands`), or a topic in full.

    Raises UsageError for a name that means nothing.
    """
    systems = {entity.partition(".")[0] for entity in entities}
    if name in entities:
        return [_change(bridge, name)]
    if name in systems:
        return [_change(bridge, entity) for entity in entities if entity.startswith(f"{name}.")]
    if name in SYSTEM_TOPICS:
        return [system_topic(bridge, name)]
    if name in topic_names:
        return [name]
    bare = [entity for entity in entities if entity.partition(".")[2] == name]
    if len(bare) == 1:
        return [_change(bridge, bare[0])]
    if bare:
        raise click.UsageError(f"{name!r} is an entity of several systems: {', '.join(bare)}")
    raise click.UsageError(
        f"{name!r} is no entity, system or topic; entities are {', '.join(sorted(entities))}; "
        f"topics are listed by `bridgectl log topics`"
    )


def existing_topics(
    bridge: str, names: Sequence[str], entities: Collection[str], topic_names: Collection[str]
) -> list[str]:
    """The topics that are meant and are there; without names every entity's changes.

    Raises NothingFound when none of them is in the log, UsageError as `topic_of`.
    """
    wanted: Iterable[str] = (
        [topic for name in names for topic in resolve_topics(bridge, name, entities, topic_names)]
        if names
        else [_change(bridge, entity) for entity in entities]
    )
    topics = list(dict.fromkeys(wanted))
    matching_topics = [topic for topic in topics if topic in topic_names]
    if not matching_topics:
        raise NothingFound(
            f"nothing is in the log yet of {', '.join(topics)}: `bridgectl run` captures and "
            "writes it"
        )
    return matching_topics


def _change(bridge: str, entity: str) -> str:
    system, _, name = entity.partition(".")
    return change_topic(bridge, system, name)
