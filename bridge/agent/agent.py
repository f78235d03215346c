"""The agent as users have it: what it declares, and a bench to test it on."""

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
    `version`: goes into each command.
    `start`: where it begins in topics that it has never read: "beginning", "now", or an instant (a
    datetime with a time zone, or its ISO 8601 text).
    `on_failure`: what becomes of an event whose handler keeps failing: `park` dead-letters it and
    continues, `park_key` also dead-letters later events of its key, `stop` ends the agent before it.
    `own_echo`: whether handlers also get changes that this agent's own commands caused.
    `attempts`: how often a failing handler is called for one event.
    `first_wait_s`, `longest_wait_s`: seconds between attempts; the wait doubles from the first to the
    longest, two minutes in all by default.
    `concurrency`: how many handlers run side by side, for different keys.
    `unfinished`: how many events of a partition may be in flight.

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
