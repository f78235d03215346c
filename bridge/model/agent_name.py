"""Names of agents: which are valid, and which belong to people and to the bridge itself."""

from __future__ import annotations

import re

from bridge.model.command import CommandRecord

AGENT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

PERSON_PREFIX = "person-"
"""The agent of what a person asked for is this and the person's name."""
OPERATOR_HANDLER = "bridgectl"
"""The handler of commands that a person sent."""

RESERVED_PREFIX = re.compile(r"(person|executor)([_-]|$)")
RESERVED_NAMES = frozenset(
    {"bootstrap", "bridge", "bridgectl", "coordinator", "people", "policy", "system"}
)
"""Whoever reads the audit takes these for a person or for the bridge itself."""


def agent_name_problem(name: str) -> str:
    """Why no agent may have this name; empty where one may."""
    if not AGENT_NAME.fullmatch(name):
        return (
            "is not a valid name: use a lower-case letter, then up to 62 lower-case letters, "
            "digits, dashes or underscores"
        )
    if RESERVED_PREFIX.match(name) or name in RESERVED_NAMES:
        return (
            f"is a reserved name: it would pose as a person ({PERSON_PREFIX}NAME) or as a part of "
            "the bridge; choose another"
        )
    return ""


def person_agent(name: str) -> str:
    """The agent that stands for a person; never the name of an agent that runs."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")
    return f"{PERSON_PREFIX}{plain or 'unknown'}"[:63]


def requester_problem(record: CommandRecord) -> str:
    """Why nobody may ask under the agent that this record names; empty where it is in order.

    What a person sends by `bridgectl` is of `person-NAME`, and no event has caused it. That says
    how the record looks, not who wrote it: whoever may write commands can write such a one.
    """
    name = record.agent
    of_person = (
        name.startswith(PERSON_PREFIX)
        and len(name) > len(PERSON_PREFIX)
        and AGENT_NAME.fullmatch(name) is not None
    )
    if not of_person:
        return agent_name_problem(name)
    if record.handler == OPERATOR_HANDLER and record.caused_by is None:
        return ""
    return "is a person's name, and the command was not sent as people send them"
