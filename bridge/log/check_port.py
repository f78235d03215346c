"""Optional protocols of `Log`s: checks before a bridge runs on one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bridge.log.port import TopicSpec


@dataclass(frozen=True, slots=True)
class LogFinding:
    """Something that a log needs to run a bridge, but doesn't have.

    text: what is wrong
    hint: which setting or permission to change
    fatal: running fails because of it; otherwise it works, with the drawback in `text`
    """

    text: str
    hint: str = ""
    fatal: bool = True


@runtime_checkable
class SupportsLogCheck(Protocol):
    """A log that can report beforehand what a running bridge would need. Writes no record."""

    async def check_servers(self, topics: Sequence[str]) -> list[LogFinding]:
        """Check whether its servers can be reached. Call it before `open`, which may wait long for
        them.

        topics: those whose permissions `check_needs` reports
        """

    async def check_needs(self, specs: Sequence[TopicSpec], bridge: str) -> list[LogFinding]:
        """Check permissions, limits, and whether missing topics could be created. Call it after
        `open`.

        specs: every topic of the bridge
        bridge: the prefix of its groups and transactional ids
        """


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Access control of a topic.

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
