"""What a bridge builds is built once, and closed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.config.load import load
from bridge.connector import Connector, System
from bridge.model.errors import BridgeError
from bridge.wiring import Bridge, opened

SYSTEM = """
system: {name}
connector: journal
url: sqlite:///{name}.db
entities:
  thing: {{from: thing, key: id, fields: {{id: {{from: id}}}}}}
commands:
  touch: {{entity: thing, run: "update thing set id = id where id = :key"}}
"""


class Counting:
    """A connector that counts the readers and writers that are open."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.open = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    async def reader(self, system: System) -> Counted:
        self.open += 1
        return Counted(self, await self._connector.reader(system))

    async def writer(self, system: System) -> Counted:
        self.open += 1
        return Counted(self, await self._connector.writer(system))


class Counted:
    """A reader or a writer of it."""

    def __init__(self, counting: Counting, part: Any) -> None:
        self._counting = counting
        self._part = part

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)

    async def own(self, partitions: list[str]) -> None:
        """A writer with a ledger has this."""
        await self._part.own(partitions)

    async def close(self) -> None:
        self._counting.open -= 1
        await self._part.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two systems, of which neither is there yet."""
    lines = ("bridge: acme", "log: sqlite:///log.db", "systems: sys/*.yaml")
    (tmp_path / "bridge.yaml").write_text("\n".join(lines))
    (tmp_path / "sys").mkdir()
    for name in ("a", "b"):
        (tmp_path / "sys" / f"{name}.yaml").write_text(SYSTEM.format(name=name))
    return tmp_path


async def create(bridge: Bridge, name: str) -> None:
    """The system's table, and its journal."""
    connector, system = bridge.system(name)
    with closing(sqlite3.connect(system.url.removeprefix("sqlite:///"))) as db:
        db.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
    await connector.setup(system)


def counted(bridge: Bridge) -> dict[str, Counting]:
    found = {}
    for name in ("a", "b"):
        connector, system = bridge.system(name)
        found[name] = Counting(connector)
        bridge._connectors[name] = (found[name], system)
    return found


async def test_agents_that_begin_at_once_share_the_gateways(folder: Path) -> None:
    """Each gateway keeps its system's limits: two would let twice as much through."""
    async with opened(load(folder / "bridge.yaml")) as bridge:
        await create(bridge, "a")
        await create(bridge, "b")
        parts = counted(bridge)
        one, *others = await asyncio.gather(*(bridge.reads() for _ in range(5)))
        assert all(other is one for other in others)
        assert [part.open for part in parts.values()] == [1, 1]
    assert [part.open for part in parts.values()] == [0, 0]


async def test_what_is_tried_again_while_a_system_is_away_leaves_nothing_behind(
    folder: Path,
) -> None:
    async with opened(load(folder / "bridge.yaml")) as bridge:
        await create(bridge, "a")
        parts = counted(bridge)
        for _ in range(3):
            with pytest.raises(BridgeError):
                await bridge.reads()
            with pytest.raises(BridgeError):
                await bridge.executor("b")
        assert [part.open for part in parts.values()] == [0, 0]
        await create(bridge, "b")
        for _ in range(3):
            assert await (await bridge.reads()).get("b.thing", 1) is None
            await bridge.executor("b")
        assert [part.open for part in parts.values()] == [1, 2]
    assert [part.open for part in parts.values()] == [0, 0]
