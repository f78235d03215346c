"""Servers that refuse nothing and ignore the options of a request: no connector believes them.

A connector to a server that evaluates conditions, orders, limits or pages by programs of its own (a
service, not a database) names in `lies` what its server can be made to do, and defines the fixture
`lying`: a Legacy whose `lie` makes it so.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import pytest

from bridge.connector import DELETE, Ask, Done, ListsKeys, Reader, Snapshot
from bridge.kit.connector.base import ConnectorTests, ServerLie, needs
from bridge.kit.connector.legacy import KEY, Create, LegacySystem, Update
from bridge.kit.connector.open_source import WAIT_TIMEOUT_S, open_source
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import RecordDecoder
from bridge.kit.connector.writing import DeclaresProbe, set_qty
from bridge.model.errors import BridgeError, OutcomeUnknown, Unsupported

ROW_COUNT = 14
"""More than a page that is cut holds."""
MISSING_KEYS = ("NO. 13", "no such")
"""Keys that no row has."""


class LyingLegacy(LegacySystem, Protocol):
    """A legacy system that can be made to lie to the connector. To `apply` and `rows` it never does."""

    def lie(self, *lies: ServerLie) -> None:
        """From now on it does these, and nothing else that is wrong."""


@needs("lies")
class ServerLieTests(ConnectorTests):
    """Whatever of it the server ignores: what comes is right, or it is refused with a sentence."""

    @pytest.fixture
    def lying(self) -> LyingLegacy:
        """A system of its own that can be made to lie."""
        raise NotImplementedError("define the fixture `lying` in your test class")

    @pytest.fixture
    async def liar(self, lying: LyingLegacy) -> LyingLegacy:
        """With the suite's table and rows in no order that anybody sorts by."""
        lying.start()
        await lying.connector.setup(lying.system())
        for number in _scrambled():
            lying.apply(Create(order(number)))
        return lying

    @needs("read")
    async def test_lookups_give_what_was_asked_for_or_are_refused(self, liar: LyingLegacy) -> None:
        columns, keys = [KEY], [(order(number)[KEY],) for number in range(1, ROW_COUNT, 2)]
        for lie in self.lies:
            liar.lie(lie)
            await self._held(lie, liar, columns, [*keys, *((key,) for key in MISSING_KEYS)])
            await self._held(lie, liar, ["customer"], [("customer 1",), ("customer 2",)])
            await self._held(lie, liar, ["customer"], [("nobody",)])
            await self._held(lie, liar, [], [])
        liar.lie()
        assert await self._rows(liar, columns, keys)

    async def _held(
        self, lie: ServerLie, legacy: LegacySystem, columns: list[str], keys: list[tuple[Any, ...]]
    ) -> None:
        rows = await _answer(lambda: self._rows(legacy, columns, keys))
        if rows is None:
            return
        truth = [
            row
            for row in legacy.rows()
            if not columns or tuple(row[name] for name in columns) in keys
        ]
        assert rows == truth, f"{lie}: {columns} of {keys}"

    async def _rows(
        self, legacy: LegacySystem, columns: list[str], keys: list[tuple[Any, ...]]
    ) -> list[dict[str, Any]]:
        records = RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])
        reader: Reader = await legacy.connector.reader(legacy.system())
        try:
            answer = await reader.fetch(Ask(legacy.table, columns, keys))
            rows = [dict(records.row(answer.shape, raw)) for raw in answer.rows]
        finally:
            await reader.close()
        return sorted(rows, key=lambda row: str(row[KEY]))

    @needs("snapshot")
    async def test_a_snapshot_leaves_no_row_out_or_is_refused(self, liar: LyingLegacy) -> None:
        for lie in self.lies:
            liar.lie(lie)
            for by_keys in (False, True):
                keys = await _answer(partial(self._walked, liar, by_keys=by_keys))
                assert keys is None or len(keys) == len(liar.rows()), lie

    async def _walked(self, legacy: LegacySystem, *, by_keys: bool) -> set[str]:
        snapshot: Snapshot = await legacy.connector.snapshot(legacy.system())
        keys: set[str] = set()
        after = None
        try:
            while True:
                if by_keys and isinstance(snapshot, ListsKeys):
                    chunk = await snapshot.keys(legacy.table, after, 5)
                else:
                    chunk = await snapshot.chunk(legacy.table, None, after, 5)
                key_index = [column.name for column in chunk.shape.columns].index(legacy.key)
                keys |= {str(raw[key_index]) for raw in chunk.rows}
                if chunk.last is None:
                    return keys
                after = chunk.last
        finally:
            await snapshot.close()

    @needs("write", "not ledger")
    async def test_a_probe_takes_no_other_row_for_a_hit_nor_a_lie_for_a_miss(
        self, liar: LyingLegacy
    ) -> None:
        pending, done = await set_qty(liar, "kit:1", 501, 1), await set_qty(liar, "kit:2", 502, 2)
        writer = await liar.connector.writer(liar.system())
        await writer.prepare()
        [outcome] = await writer.execute([done])
        assert isinstance(outcome, Done), outcome
        for lie in self.lies:
            liar.lie(lie)
            for effect in (pending, replace(pending, probe="")):
                assert not isinstance(await _probed(writer.probe, effect), Done), lie
            assert await _probed(writer.probe, done) is not None, lie
        await writer.close()
        assert isinstance(liar, DeclaresProbe) or not pending.probe

    @needs("capture", "not every_change")
    async def test_capture_tells_what_happened_or_says_why_it_cannot(
        self, liar: LyingLegacy
    ) -> None:
        for number, lie in enumerate(self.lies):
            liar.lie(lie)
            wanted = {order(50 + number)[KEY], order(1 + number)[KEY]}
            assert await self._captured(liar, wanted, 50 + number, 1 + number), lie

    async def _captured(self, legacy: LegacySystem, wanted: set[str], new: int, old: int) -> bool:
        """Whether the source streamed these rows, or said why it could not."""
        records = RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])
        reported_keys: set[str] = set()
        try:
            source, _ = await open_source(legacy, legacy.system(), None)
        except BridgeError:
            return True
        try:
            legacy.apply(Create(order(new)), Update(order(old)[KEY], {"qty": 77}))
            deadline = time.monotonic() + WAIT_TIMEOUT_S
            while time.monotonic() < deadline and not wanted <= reported_keys:
                batch = await source.read(100, 0.1)
                if batch.troubles or any(not stale.deletes_only for stale in batch.stale):
                    return True
                assert not [change for change in batch.changes if change.op == DELETE]
                rows = [records.row(change.shape, change.new) for change in batch.changes]
                reported_keys |= {str(row[KEY]) for row in rows}
        except BridgeError:
            return True
        finally:
            await source.close()
        return wanted <= reported_keys


def _scrambled() -> list[int]:
    """The numbers from 1 to ROWS, neither ascending nor descending: 4 and 15 have no common divisor."""
    return [number * 4 % (ROW_COUNT + 1) for number in range(1, ROW_COUNT + 1)]


async def _answer(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What comes, or None where it is refused."""
    try:
        return await ask()
    except BridgeError:
        return None


async def _probed(probe: Callable[[Any], Awaitable[Done | None]], effect: Any) -> Any:
    try:
        return await probe(effect)
    except (Unsupported, OutcomeUnknown) as error:
        return error
