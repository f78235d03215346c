"""The copy of one system: follows its topics, proves what it contains, and tells who reads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from bridge.gateway.copy.claims import PublishedClaims
from bridge.gateway.copy.contract import CopyStatus, EntityClaim
from bridge.gateway.copy.copy_parts import CopyParts, Probe
from bridge.gateway.copy.following import Following
from bridge.gateway.copy.row_forms import RowForms
from bridge.gateway.copy.system_topics import CopyTopics, all_partitions, starting_offsets
from bridge.gateway.follower.topic_follower import RECORDS_PER_READ
from bridge.model.freshness import NEVER, Freshness

TOPICS_WAIT_S: Final = 1.0
"""Between looks for topics while some that are needed are missing."""


class FollowedCopy:
    """Implements `SystemCopy`. `run` follows until it is cancelled, and may be called again after it
    has ended. Used on one event loop.
    """

    def __init__(self, parts: CopyParts) -> None:
        """Raises ValueError for a cache that remembers fewer transactions than one read may bring."""
        if parts.cache.fences.room < RECORDS_PER_READ:
            raise ValueError(f"a cache has to remember {RECORDS_PER_READ} transactions at least")
        self.system = parts.system
        self.entities: Collection[str] = frozenset(parts.entities)
        self.cache = parts.cache
        self.scope = parts.scope
        self.rows = RowForms(parts.cache.epoch)
        self.watches = parts.watches
        self.probe: Probe | None = None
        self._parts = parts
        self._claims = PublishedClaims(parts.entities, parts.cache)
        self._following: Following | None = None
        self._sessions = 0
        self._trouble = ""
        self._begun = self._passed = self._applied = 0

    @property
    def has_barriers(self) -> bool:
        """As SystemCopy."""
        following = self._following
        return following is not None and following.can_prove(self._parts.monotonic())

    def entity_claim(self, entity: str) -> EntityClaim:
        """As SystemCopy."""
        return self._claims.by_entity[entity]

    def claim(self, entity: str, key: bytes | None = None) -> Freshness | None:
        """As SystemCopy."""
        published = self._claims.by_entity[entity]
        return None if key in published.doubtful else published.claim

    def claim_of_list(self, entity: str) -> Freshness | None:
        """As SystemCopy."""
        published = self._claims.by_entity[entity]
        return None if published.doubtful else published.claim

    async def wait(self, entity: str, until: float) -> None:
        """As SystemCopy."""
        following = self._following
        if following is not None and following.follows(entity):
            await following.waits.wait(entity, until - self._parts.monotonic())

    def note_server(self, server: str) -> None:
        """As SystemCopy."""
        if server == self.cache.server:
            return
        if not self.cache.server:
            # Nothing was stored yet, and the fences are of this system's transactions.
            self.cache.server = server
            return
        self.cache.reset(server)
        if self._following is not None:
            self._following.begin_again("its reads are answered by another server")

    def reasons(self, entity: str, key: bytes | None = None) -> tuple[str, ...]:
        """As SystemCopy."""
        if entity not in self.entities:
            raise KeyError(entity)
        following = self._following
        if following is None:
            return (self._trouble or "the change topics are not followed yet",)
        return following.reasons(entity, key)

    def status(self, now: float) -> CopyStatus:
        """As SystemCopy."""
        ages = {
            entity: None
            if published.claim is None or published.claim.as_of == NEVER
            else published.claim.age(now)
            for entity, published in self._claims.by_entity.items()
        }
        doubts = {entity: self.reasons(entity) for entity in sorted(self.entities)}
        keys = {entity: len(each.doubtful) for entity, each in self._claims.by_entity.items()}
        following = self._following
        begun = passed = applied = 0
        refusal = ""
        if following is not None:
            begun, passed = following.begun, following.passed
            applied, refusal = following.applied.applied, following.refusal
        return CopyStatus(
            ages=ages,
            doubts={entity: reasons for entity, reasons in doubts.items() if reasons},
            doubtful_keys={entity: count for entity, count in keys.items() if count},
            troubles=tuple(filter(None, (self._trouble, refusal))),
            entries=len(self.cache),
            bytes=self.cache.held_bytes,
            fenced_keys=self.cache.fences.key_count,
            unshown_transactions=self.cache.fences.transaction_count,
            barriers=(self._begun + begun, self._passed + passed),
            applied=self._applied + applied,
        )

    async def run(self) -> None:
        """Follow until cancelled. Outages of the log are reported and waited out; raises RetryLater if
        it is unavailable at the beginning, ConfigurationError if it refuses.
        """
        while True:
            following = await self._begin()
            try:
                await following.run()
            finally:
                self._applied += following.applied.applied
                self._begun += following.begun
                self._passed += following.passed
                self._following = None
                self._claims.withdraw()
                following.waits.release()

    async def _begin(self) -> Following:
        """Decide where to begin, and forget what was read before that."""
        parts = self._parts
        topics = CopyTopics.of(parts.bridge, parts.system, parts.entities)
        while True:
            partitions = all_partitions(await parts.log.topics(), topics.names)
            if topics.are_complete(partitions):
                break
            await asyncio.sleep(TOPICS_WAIT_S)
        starts = await starting_offsets(
            parts.log, topics, parts.system, partitions, int(parts.wall() * 1000)
        )
        self._sessions += 1
        following = Following(
            parts,
            topics=topics,
            starts=starts,
            name=f"{parts.name}-{self._sessions}",
            rows=self.rows,
            claims=self._claims,
            report=self._set_trouble,
            recovered=self._clear_trouble,
            probe=lambda: self.probe,
        )
        # Without any wait from here on: answers of reads that were sent earlier aren't stored.
        for entity in parts.entities:
            parts.cache.epoch(entity)
        parts.watches.spoil("the copy began to follow again")
        self._following = following
        return following

    def _set_trouble(self, failures: int, reason: str) -> None:
        """An outage of the log, while following."""
        self._trouble = reason
        self._parts.report(failures, reason)

    def _clear_trouble(self) -> None:
        if self._trouble:
            self._trouble = ""
            self._parts.recovered()
