"""Names of agents: which are valid, and which belong to people and to the bridge itself."""

from __future__ import annotations

import re

from bridge.model.command import CommandRecord

AGENT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")

PERSON_PREFIX = "person-"
"""Prefix of the agent name of a person's requests."""
OPERATOR_HANDLER = "bridgectl"
"""The handler of commands that a person sent."""

RESERVED_PREFIX = re.compile(r"(person|executor)([_-]|$)")
RESERVED_NAMES = frozenset(
    {"bootstrap", "bridge", "bridgectl", "coordinator", "people", "policy", "system"}
)
"""Readers of the audit would mistake these for a person or for the bridge itself."""


def agent_name_problem(name: str) -> str:
    """Why no agent may have this name; empty if it is allowed."""
    if not AGENT_NAME.fullmatch(name):
        return (
            "is not a valid name: use a lower-case letter, then up to 62 lower-case letters, "
            "digits, dashes or underscores"
        )
    if RESERVED_PREFIX.match(name) or name in RESERVED_NAMES:
        return (
            f"is a reserved name of people ({PERSON_PREFIX}NAME) or of "
            "the bridge itself; choose another"
        )
    return ""


def person_agent(name: str) -> str:
    """The agent that stands for a person; never the name of an agent that runs."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")
    return f"{PERSON_PREFIX}{plain or 'unknown'}"[:63]


def requester_problem(record: CommandRecord) -> str:
    """Why the agent that this record names may not send it; empty if it may.

    Commands that a person sends with `bridgectl` are of agent `person-NAME` and have no causing
    event. This checks the record's form, not who wrote it: anybody with write access can forge one.
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
    return "is a person's name, but the command does not have the form of a person's command"
