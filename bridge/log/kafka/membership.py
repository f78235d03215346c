"""Rebalances of one member, kept until its own `read` reports them.

aiokafka calls its listener in a background task. A revocation makes the group wait until it was
reported; an assignment doesn't, because the member sends no heartbeat during that call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import aiokafka

from bridge.log.port import Rebalance, TopicPartition


class KafkaMembership(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """The state of one member: assigned partitions, pending revocations and assignments."""

    def __init__(self, rebalance: Rebalance | None) -> None:
        self.held: frozenset[TopicPartition] = frozenset()
        self._rebalance = rebalance
        self._revoking: asyncio.Future[None] | None = None
        self._assigned: frozenset[TopicPartition] | None = None
        self._reported: frozenset[TopicPartition] | None = None
        self._chosen_offsets: Mapping[TopicPartition, int] = {}
        self._joined = False
        self._closed = False
        self._news: asyncio.Future[None] | None = None

    @property
    def has_news(self) -> bool:
        """Whether a rebalance waits to be reported."""
        return self._revoking is not None or self._assigned is not None

    @property
    def settled(self) -> bool:
        """Whether the member holds what the group assigned, and all of it was reported."""
        return self._joined and not self.has_news

    def news(self) -> asyncio.Future[None]:
        """Done as soon as a rebalance waits to be reported."""
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
            if self.has_news:
                self._news.set_result(None)
        return self._news

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:  # noqa: ARG002 - all goes
        """The group is about to rebalance: everything is revoked. Returns once that was
        reported.
        """
        self._assigned = None
        self._joined = False
        if self._closed or not self.held:
            return
        self._revoking = asyncio.get_running_loop().create_future()
        self._wake()
        await self._revoking

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """These were assigned; none of their records is delivered before that was reported."""
        self._assigned = frozenset(TopicPartition(*partition) for partition in assigned)
        self._wake()

    async def tell_revoked(self) -> frozenset[TopicPartition]:
        """Report revoked partitions, if any, and let the group continue.

        Partitions reported as assigned while the group was already rebalancing are revoked, too.
        """
        stale = self._assigned is not None and self._reported is not self._assigned
        if self._revoking is None and not (stale and self.held):
            return frozenset()
        gone = self.held
        if self._rebalance is not None:
            await self._rebalance.revoked(gone)
        self.held = frozenset()
        self._reported = None
        self._release()
        return gone

    async def tell_assigned(
        self,
    ) -> tuple[frozenset[TopicPartition], Mapping[TopicPartition, int]] | None:
        """Report assigned partitions, if any, and return them with the chosen offsets.

        If the callback raises, the next `read` calls it again.
        """
        came = self._assigned
        if came is None:
            return None
        if self._reported is not came:
            chosen: Mapping[TopicPartition, int] | None = None
            if came and self._rebalance is not None:
                chosen = await self._rebalance.assigned(came)
            self._reported, self._chosen_offsets, self.held = came, chosen or {}, came
        return came, self._chosen_offsets

    def settle(self, came: frozenset[TopicPartition]) -> bool:
        """The member now reads these from their right offsets. False: it has lost them again."""
        if self._assigned is not came:
            return False
        self._assigned = None
        self._joined = True
        return True

    def close(self) -> None:
        """Report nothing more, and release waiting tasks."""
        self._closed = True
        self._assigned = None
        self._release()

    def _release(self) -> None:
        if self._revoking is not None and not self._revoking.done():
            self._revoking.set_result(None)
        self._revoking = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
