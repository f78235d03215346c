"""What the Gateway uses of the copy of one system.

A read, in the Gateway:

1. `entry = cache.get(...)` or `cache.get_list(...)`, `claim = copy.claim(entity, key)` or
   `copy.claim_of_list(entity)`, then `decide(request, claim, ..., has_barriers=copy.has_barriers)`.
   The answer's claim is the younger of the entry's own (`cache.claim_of(entry)`) and `claim`.
2. `barrier`: `await copy.wait(entity, decision.until)`, then look and decide again.
3. `legacy`: `read = cache.begin_read(now)` before the query is sent; then, in one turn of the loop,
   `copy.note_server(rows.server)`, `cache.fill(...)` and `cache.fill_list(...)`, and in any case
   `cache.end_read(read, answer or None)`. Fills are welcome whatever the claim is, in doubt too:
   fences decide what is stored.

The payload of an entry is `copy.rows.header(entity_type) + avro_bytes` of the row, so that a row that
was read and the row of an event of the same state are equal; `copy.rows.row(payload)` reads it. `key`
is the log's key less its schema id. Times are seconds of `time.monotonic`, also those of `begin_read`
and `ReadAnswer.ended_at`.

When a key falls into doubt, the copy evicts it, and the entity's lists, in all scopes: what was handed
out of them is frozen at that time, and never claims what the missing change may have made wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from bridge.gateway.audit.change_watches import ChangeWatches
from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.cache.entry import Scope
from bridge.gateway.copy.row_forms import RowForms
from bridge.model.freshness import Freshness
from bridge.ports.held_entry import EntityClaim


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """For people and metrics.

    ages: bare entity name -> seconds since the `as_of` of its claim; None: nothing is claimed.
    doubts: bare entity name -> why it is in doubt; only those that are.
    doubtful_keys: bare entity name -> how many of its rows are in doubt; only where some are.
    troubles: what else is wrong, such as an outage of the log, or records that can't be read.
    entries, bytes: of the cache.
    fenced_keys, unshown_transactions: of its fences.
    barriers: how many were begun, and how many were passed.
    applied: records of changes that were applied.
    """

    ages: Mapping[str, float | None]
    doubts: Mapping[str, tuple[str, ...]]
    doubtful_keys: Mapping[str, int]
    troubles: tuple[str, ...]
    entries: int
    bytes: int
    fenced_keys: int
    unshown_transactions: int
    barriers: tuple[int, int]
    applied: int


class SystemCopy(Protocol):
    """The copy of the entities of one system that are captured. Used on the bridge's loop only, but
    for the attributes of `EntityClaim`. All entity names are bare; asking about one that isn't in
    `entities` raises KeyError.
    """

    @property
    def system(self) -> str: ...

    @property
    def entities(self) -> Collection[str]:
        """Those that are captured. Of others nothing is held and nothing claimed: don't fill them."""

    @property
    def cache(self) -> CacheState:
        """What is held. The Gateway calls `get`, `table`, `get_list`, `claim_of`, `begin_read`,
        `fill`, `fill_list`, `end_read`, `drop` and `evict`; everything else is the copy's.

        Its `freshness`, the `follower` of what `claim_of` returns, is a mapping: bare entity name ->
        Freshness, without the entities in doubt.
        """

    @property
    def scope(self) -> Scope:
        """Of rows that the system's own login reads, which is that of capture."""

    @property
    def rows(self) -> RowForms:
        """The form of payloads."""

    @property
    def watches(self) -> ChangeWatches:
        """The rows whose changes somebody collects as they are applied."""

    @property
    def has_barriers(self) -> bool:
        """Whether a barrier could come back now; else `wait` would only wait in vain."""

    @property
    def probe(self) -> Callable[[], Awaitable[object]] | None:
        """Reads any row from the legacy system, between `begin_read` and `end_read` with its
        visibility; set by the Gateway. Called when so many transactions were applied without any
        read that `cache.is_full` is near: the copy waits for it, and claims nothing newer meanwhile.
        May raise RetryLater. None: the copy then waits for whatever read comes next.
        """

    @probe.setter
    def probe(self, probe: Callable[[], Awaitable[object]] | None) -> None: ...

    def entity_claim(self, entity: str) -> EntityClaim:
        """For hits: keep it, and compare `claim.as_of` with the bound's."""

    def claim(self, entity: str, key: bytes | None = None) -> Freshness | None:
        """What is claimed of a row that is held, or of its absence; None: it is in doubt, so that the
        legacy system has to be asked. Its `as_of` is `NEVER` while nothing is proved yet: wait for a
        barrier. Without a key: of the entity, rows in doubt apart. One object until it changes.
        """

    def claim_of_list(self, entity: str) -> Freshness | None:
        """What is claimed of a list that is held. None, as long as any row of the entity is in doubt:
        it may match the list now.
        """

    async def wait(self, entity: str, until: float) -> None:
        """Return when a barrier that was begun after this call was passed for the entity, or its claim
        was given up, or at `until` (seconds of `time.monotonic`), whichever comes first: decide
        again. Any number may wait, also past a restart of the follower; may be cancelled.
        """

    def note_server(self, server: str) -> None:
        """Call it with each answer's `Rows.server`, before it is filled. With another server than
        before, what is held goes, and nothing is claimed until a barrier begun now was passed.
        """

    def reasons(self, entity: str, key: bytes | None = None) -> tuple[str, ...]:
        """Why the entity, or this row of it, is in doubt; empty: it isn't."""

    def status(self, now: float) -> CopyStatus:
        """What is claimed, doubted and held now (seconds of `time.monotonic`)."""


__all__ = ["CopyStatus", "EntityClaim", "SystemCopy"]
