"""What a log may say about itself before a bridge runs on it: optional protocols of `Log`s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bridge.log.port import TopicSpec


@dataclass(frozen=True, slots=True)
class LogFinding:
    """Something that a log is missing for running a bridge.

    text: what is wrong
    hint: which setting or right to change
    fatal: running fails because of it; else it works, with the drawback that `text` names
    """

    text: str
    hint: str = ""
    fatal: bool = True


@runtime_checkable
class SupportsLogCheck(Protocol):
    """A log that can say beforehand what a running bridge will be missing. Writes no record."""

    async def check_servers(self, topics: Sequence[str]) -> list[LogFinding]:
        """Whether its servers can be reached, before `open`, which may wait long for them.

        topics: those whose rights `check_needs` reports
        """

    async def check_needs(self, specs: Sequence[TopicSpec], bridge: str) -> list[LogFinding]:
        """Once open: rights, limits, and whether missing topics could be created.

        specs: every topic of the bridge
        bridge: the prefix of its groups and transactional ids
        """


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Who decides who may write a topic.

    present: whether the log's servers check access at all
    writers: who may write the topic, by its access lists; None: this user may not read them
    """

    present: bool
    writers: tuple[str, ...] | None = None


@runtime_checkable
class SupportsAccessLists(Protocol):
    """A log whose servers may have access lists."""

    async def authorizer(self, topic: str) -> Authorizer:
        """Whether they check access, and who may write the topic. Raises RetryLater,
        ConfigurationError.
        """
