"""The public `Agent` class: the declaration, plus a test bench."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from bridge.agent.declaration import AgentDeclaration
from bridge.model.types import Relation

if TYPE_CHECKING:
    from bridge.agent.bench import Bench


class Agent(AgentDeclaration):
    """A program that handles events and may return commands.

    `name`: unique in the bridge; part of its consumer group and of the ids of its commands.
    `version`: recorded in each command.
    `start`: where it begins in topics that it has never read: "beginning", "now", or a time (a
    datetime with a time zone, or its ISO 8601 text).
    `on_failure`: what happens to an event whose handler keeps failing: `park` dead-letters it and
    continues, `park_key` also dead-letters later events of its key, `stop` stops the agent without
    moving past it.
    `own_echo`: whether handlers also receive changes that this agent's own commands caused.
    `attempts`: how many times a failing handler is called for one event.
    `first_wait_s`, `longest_wait_s`: seconds between attempts; the wait doubles from the first to
    the longest, which adds up to two minutes by default.
    `concurrency`: how many handlers run concurrently, for different keys.
    `unfinished`: how many events of one partition may be in flight.

    Raises ConfigurationError for a value that is out of range.
    """

    def test(
        self,
        rows: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        *,
        keys: Mapping[str, Sequence[str]] | None = None,
        relations: Mapping[str, Sequence[Relation]] | None = None,
    ) -> AbstractContextManager[Bench]:
        """A test bench: this agent on a legacy system that holds `rows`, without any server.

        An entity's key is its rows' first field unless `keys` names it. See `Bench`.
        """
        from bridge.agent.bench import Bench

        return Bench(self, rows or {}, keys or {}, relations or {})
