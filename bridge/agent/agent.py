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

    `version` goes into each command. `start` says where it begins with topics that it has never read:
    "beginning", "now", or an instant (a datetime with a zone, or its text). `on_failure` says what becomes of an event whose handler
    keeps failing after `attempts` tries, which are `first_wait_s` seconds apart at first and at most
    `longest_wait_s` (two minutes in all by default): `park` sets it aside and goes on, `park_key` also sets
    aside what comes later for its key, `stop` ends the agent in front of it. Changes that this
    agent's own commands caused are left out unless `own_echo`. `concurrency` handlers run side
    by side, of different keys; `unfinished` events at most are under way a partition.
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
