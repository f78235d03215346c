"""Which entity or topic a name typed by a person refers to. Pure."""

from __future__ import annotations

from collections.abc import Collection

from bridge.model.names import SYSTEM_TOPICS, change_topic, split_entity, system_topic


def qualify_entity(entities: Collection[str], name: str) -> str:
    """`name` as `system.entity`; the entity alone suffices if only one system has it.

    Raises ValueError that lists the entities.
    """
    if name in entities:
        return name
    if own := _by_own_name(entities, name):
        return own
    raise ValueError(f"there is no entity {name!r}; entities are {', '.join(entities)}")


def topics_of_name(
    bridge: str, name: str, entities: Collection[str], topics: Collection[str]
) -> list[str]:
    """The topics that `name` refers to: an entity (`erp.sales_order`, or `sales_order` if only one
    system has it), a system (all of its entities), a fixed topic (`commands`), or the full name of
    one of `topics`.

    Raises ValueError for an unknown name.
    """
    systems = {split_entity(entity)[0] for entity in entities}
    if name in entities:
        return [change_topic(bridge, *split_entity(name))]
    if name in systems:
        return [
            change_topic(bridge, *split_entity(entity))
            for entity in entities
            if entity.startswith(f"{name}.")
        ]
    if name in SYSTEM_TOPICS:
        return [system_topic(bridge, name)]
    if name in topics:
        return [name]
    if own := _by_own_name(entities, name):
        return [change_topic(bridge, *split_entity(own))]
    raise ValueError(
        f"{name!r} is not an entity, system or topic; entities are {', '.join(sorted(entities))}; "
        f"topics are listed by `bridgectl log topics`"
    )


def _by_own_name(entities: Collection[str], name: str) -> str:
    """The one entity of this name in any system; empty if there is none. Raises ValueError."""
    same = [entity for entity in entities if split_entity(entity)[1] == name]
    if len(same) > 1:
        raise ValueError(f"{name!r} is an entity of several systems: {', '.join(same)}")
    return same[0] if same else ""
