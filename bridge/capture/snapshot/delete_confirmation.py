"""Confirms the deletes of a comparison: the system is queried for every key that only the log has,
and their number is checked for plausibility.

A service that ignores an order or a condition, a login that sees less than before, or a truncated
page looks like deleted rows to a comparison.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bridge.capture.contract import CaptureDependencies
from bridge.capture.entity import CapturedEntity
from bridge.capture.snapshot.background_reads import BackgroundReads
from bridge.capture.snapshot.key_presence import KeyPresence, PresenceAnswer, open_reader
from bridge.capture.snapshot.key_set import KeyCounts, KeySet
from bridge.capture.table_shapes import table_uses
from bridge.connector import Reader, Shape
from bridge.model.delete_limit import DeleteLimit
from bridge.model.errors import ConfigurationError, Rejected, RetryLater

MAX_KEYS_PER_QUERY = 5_000
MAX_UNASKED_KEYS = 100
"""With more keys that can't be queried a comparison ends: the reason isn't a single key."""


class ImplausibleDeletes(Exception):
    """More deletes than `max_deletes` allows; the message says how many, and what to do."""


class DeleteConfirmation:
    """The confirmation of one comparison, after its whole table was read. Used by one task: call
    `step` until it returns True. `present` and `unasked`: the keys that stay in the log.
    """

    def __init__(
        self,
        deps: CaptureDependencies,
        entity: CapturedEntity,
        keys: KeySet,
        limit: DeleteLimit | None,
    ) -> None:
        self._deps = deps
        self._entity = entity
        self._keys = keys
        self._limit = limit
        self._reads: BackgroundReads[Reader] = BackgroundReads(deps, lambda: open_reader(deps))
        self._after = b""
        self._counts: KeyCounts | None = None
        self._presence: tuple[Reader, KeyPresence] | None = None
        self.shape: Shape | None = None
        self.absent = self.present = 0
        self.unasked: list[str] = []
        #: The watermark after which the deletes are written, once it was written.
        self.watermark = ""
        #: The queries were abandoned: the confirmation starts over.
        self.refused = False
        keys.forget_answers()

    @property
    def why(self) -> str:
        """What prevents querying the system; empty: nothing."""
        return self._reads.why

    @property
    def waiting(self) -> bool:
        """The system can't be queried at the moment."""
        return self._reads.waiting

    async def step(self) -> bool:
        """Continue as far as possible without waiting; returns whether all keys were queried.
        Raises ImplausibleDeletes, and what the queries raised except RetryLater, which is retried.
        """
        if self._reads.done:
            try:
                keys, answer = await self._reads.take()
            except RetryLater:
                return False
            if not keys:
                return True
            self._take(keys, answer)
        if self._reads.free:
            self._reads.start(self._ask_next, f"deletes of {self._entity.spec.table}")
        return False

    def _take(self, keys: list[bytes], answer: PresenceAnswer) -> None:
        self._after = keys[-1]
        self._keys.absent(answer.absent)
        self.absent += len(answer.absent)
        self.present += answer.present
        self.unasked += answer.unasked
        if len(self.unasked) > MAX_UNASKED_KEYS:
            raise Rejected("bad_key", f"rows can't be queried by key: {self.unasked[-1]}")
        counts, limit = self._counts, self._limit
        if counts is not None and limit is not None and limit.exceeded(self.absent, counts.keys):
            raise ImplausibleDeletes(self._implausible(counts, limit))

    def _implausible(self, counts: KeyCounts, limit: DeleteLimit) -> str:
        name, most = self._entity.spec.qualified, counts.unmet - self.present - len(self.unasked)
        return (
            f"comparing its table with the log would delete {most} of {counts.keys} rows, more than "
            f"`max_deletes` allows ({limit}). If they are really gone: bridgectl snapshot {name} "
            f"--reconcile --max-deletes {most}. Otherwise the system doesn't show all of its rows "
            "(a permission or a filter of the login, a restored backup, the wrong database)"
        )

    async def _ask_next(self, reader: Reader) -> tuple[list[bytes], PresenceAnswer]:
        if self._counts is None:
            self._counts = await asyncio.wrap_future(self._keys.counts())
        number = max(1, min(reader.max_keys, MAX_KEYS_PER_QUERY))
        keys = await asyncio.wrap_future(self._keys.unmet_after(self._after, number))
        if not keys:
            return keys, PresenceAnswer()
        if self._presence is None or self._presence[0] is not reader:
            self.shape = await self._describe()
            self._presence = (
                reader,
                KeyPresence(reader, self._entity, self.shape, self._deps.mask_key or None),
            )
        return keys, await self._presence[1].ask(keys)

    async def _describe(self) -> Shape:
        table, system = self._entity.spec.table, self._deps.system
        system = replace(system, tables=table_uses(system, {table}))
        shape = (await self._deps.connector.describe(system)).get(table)
        if shape is None:
            raise ConfigurationError(f"there is no table {table!r}")
        return shape

    async def close(self) -> None:
        """Stop asking."""
        await self._reads.close()
