"""Who may write which topic on Kafka: the access lists to set, and whether the cluster keeps any."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from bridge.log.check_port import SupportsAccessLists
from bridge.log.port import Log
from bridge.model.errors import BridgeError
from bridge.model.names import (
    AUDIT,
    COMMANDS,
    DEAD,
    RECEIPTS,
    STATUS,
    internal_topic,
    replay_topic,
    system_topic,
)
from bridge.wiring.check.result import CheckResult

#: Begins the transactional ids of records that are appended outside of a partition's owner.
APPEND_IDS = "legacy-bridge-append-"
SERVER = "SERVER:9092"

READING = ("Describe", "Read")
WRITING = ("Describe", "Write")
RUNNING = (*READING, "DescribeConfigs")
"""On topics that are there already: what runs looks whether they are as they have to be."""
FORGETTING = (*READING, "Delete")
"""On groups: those of replays go when they have ended."""
OWNING = ("Create", "Describe", "DescribeConfigs", "Read", "Write")


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What the user of one role may do with the resources whose names begin with `name`, or
    (`literal`) with the one of that name. `resource`: topic, group or transactional-id.
    """

    role: str
    resource: str
    name: str
    operations: tuple[str, ...]
    literal: bool = False

    def command(self) -> str:
        """As Kafka's own tool sets it."""
        operations = " ".join(f"--operation {operation}" for operation in self.operations)
        pattern = "literal" if self.literal else "prefixed"
        return (
            f"kafka-acls.sh --bootstrap-server {SERVER} --add --allow-principal User:{self.role} "
            f"{operations} --{self.resource} {self.name} --resource-pattern-type {pattern}"
        )


def access_rules(bridge: str) -> list[AccessRule]:
    """Those of the three roles of `docs/authority.md`. A transactional id is the bridge's name, the
    group's and the partition's.
    """
    ours, inner = f"{bridge}.", f"_{bridge}."
    agents = f"{bridge}.agent."
    written = [system_topic(bridge, topic) for topic in (COMMANDS, DEAD)]
    written.append(internal_topic(bridge, STATUS))
    return [
        *(AccessRule("bridge", "topic", name, OWNING) for name in (ours, inner)),
        AccessRule("bridge", "group", ours, FORGETTING),
        *(AccessRule("bridge", "transactional-id", name, WRITING) for name in (ours, APPEND_IDS)),
        *(AccessRule("agents", "topic", name, RUNNING) for name in (ours, inner)),
        AccessRule("agents", "topic", replay_topic(bridge, ""), ("Create",)),
        *(AccessRule("agents", "topic", name, ("Write",), literal=True) for name in written),
        AccessRule("agents", "group", agents, READING),
        AccessRule("agents", "transactional-id", f"{bridge}.{agents}", WRITING),
        *(AccessRule("readers", "topic", name, READING) for name in (ours, inner)),
    ]


async def access_findings(
    bridge: str, log: Log, location: str
) -> AsyncGenerator[CheckResult, None]:
    """What the cluster says about access, and the commands that set it."""
    if not isinstance(log, SupportsAccessLists):
        return
    commands = "\n".join(rule.command() for rule in access_rules(bridge))
    topics = [system_topic(bridge, topic) for topic in (RECEIPTS, COMMANDS, AUDIT)]
    try:
        answers = {topic: await log.authorizer(topic) for topic in topics}
    except BridgeError as error:
        yield CheckResult(
            "ok",
            "log",
            f"whether the cluster keeps access lists could not be asked ({error}); those to set:",
            location,
            fix=commands,
        )
        return
    if not all(answer.present for answer in answers.values()):
        yield CheckResult(
            "warning",
            "log",
            "the cluster has no authorizer: whoever reaches it may write every topic, send "
            "commands under any agent's name and receipts that no executor wrote",
            location,
            "set authorizer.class.name on its brokers, then these access lists for three users",
            fix=commands,
        )
        return
    unasked = [topic for topic, answer in answers.items() if answer.writers is None]
    if unasked:
        what = "the cluster has an authorizer; this user may not ask it who may write; to set:"
    else:
        writers = "; ".join(
            f"{topic}: {', '.join(answer.writers or ()) or 'super users only'}"
            for topic, answer in answers.items()
        )
        what = (
            f"the cluster has an authorizer; who may write, beside super users: {writers}; to set:"
        )
    yield CheckResult("ok", "log", what, location, fix=commands)
