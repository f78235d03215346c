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
from bridge.gateway import Gateways
from bridge.model.errors import BridgeError, ConfigurationError, RetryLater
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.observe import CommandMoved, Notice, PartState, SourceState
from bridge.wiring import Bridge, open_bridge
from bridge.wiring.agents import load_agents
from bridge.wiring.run_parts import build_parts, run_parts
from tests.waiting import until

SYSTEM = """
system: {name}
connector: journal
url: sqlite:///{name}.db
entities:
  thing: {{from: thing, key: id, fields: {{id: {{from: id}}}}}}
commands:
  touch: {{entity: thing, run: "update thing set id = id where id = :key"}}
"""


class CountingConnector:
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

    def __init__(self, counting: CountingConnector, part: Any) -> None:
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


def counted(bridge: Bridge) -> dict[str, CountingConnector]:
    counts = {}
    for name in ("a", "b"):
        connector, system = bridge.system(name)
        counts[name] = CountingConnector(connector)
        bridge._connectors[name] = (counts[name], system)
    return counts


async def test_agents_that_begin_at_once_share_the_gateways(folder: Path) -> None:
    """Each gateway keeps its system's limits: two would let twice as much through."""
    async with open_bridge(load(folder / "bridge.yaml")) as bridge:
        await create(bridge, "a")
        await create(bridge, "b")
        build_parts = counted(bridge)
        await asyncio.gather(*(bridge.reads() for _ in range(5)))
        await asyncio.gather(*(bridge.agent_access() for _ in range(5)))
        assert [part.open for part in build_parts.values()] == [1, 1]
    assert [part.open for part in build_parts.values()] == [0, 0]


async def test_what_is_tried_again_while_a_system_is_away_leaves_nothing_behind(
    folder: Path,
) -> None:
    async with open_bridge(load(folder / "bridge.yaml")) as bridge:
        await create(bridge, "a")
        build_parts = counted(bridge)
        for _ in range(3):
            with pytest.raises(BridgeError):
                await bridge.reads()
            with pytest.raises(BridgeError):
                await bridge.executor("b")
        assert [part.open for part in build_parts.values()] == [1, 0]
        await create(bridge, "b")
        for _ in range(3):
            assert await (await bridge.reads()).get("b.thing", 1) is None
            await bridge.executor("b")
        assert [part.open for part in build_parts.values()] == [1, 2]
    assert [part.open for part in build_parts.values()] == [0, 0]


class Unparsable(CountingConnector):
    """A connector whose driver can't read the system's address, whatever it is asked for."""

    async def reader(self, system: System) -> Counted:
        raise ValueError(f"Invalid IPv6 URL: {system.shown_url}")

    async def writer(self, system: System) -> Counted:
        raise ValueError("Invalid IPv6 URL")

    async def describe(self, system: System) -> Any:
        raise ValueError("Invalid IPv6 URL")

    async def source(self, system: System) -> Any:
        raise ValueError("Invalid IPv6 URL")


AGENT = """
from bridge import Agent, Command

agent = Agent("toucher")


@agent.on("a.thing")
async def touch(event, ctx):
    await ctx.get("a.thing", event.key["id"])
    return Command("a.touch", key=event.key)
"""


async def test_an_address_that_no_driver_can_read_keeps_nobody_else_waiting(folder: Path) -> None:
    """It ended the capture of every system, and kept every agent from starting."""
    (folder / "toucher.py").write_text(AGENT)
    notices: list[Notice] = []
    agents = load_agents([str(folder / "toucher.py")])
    async with open_bridge(load(folder / "bridge.yaml"), notices.append) as bridge:
        await create(bridge, "a")
        connector, system = bridge.system("b")
        bridge._connectors["b"] = (Unparsable(connector), system)
        stop = asyncio.Event()
        running = asyncio.create_task(
            run_parts(
                build_parts(bridge, agents, ["capture", "agents", "commands"]), stop, notices.append
            )
        )
        failed = {"capture b", "commands b"}
        await until(lambda: failed <= states(notices, "failed") or running.done())
        with closing(sqlite3.connect(folder / "sys" / "a.db")) as db:
            await until(lambda: "streaming" in sources(notices, "a"))
            db.execute("insert into thing values (1)")
            db.commit()
        await until(lambda: moved(notices) or running.done())
        assert not running.done()
        assert "reads b" in states(notices, "retrying")
        stop.set()
        ended = await running
    assert set(ended.failed) == failed


def states(notices: list[Notice], state: str) -> set[str]:
    return {f"{n.kind} {n.name}" for n in notices if isinstance(n, PartState) and n.state == state}


def sources(notices: list[Notice], name: str) -> set[str]:
    return {n.state for n in notices if isinstance(n, SourceState) and n.system == name}


def moved(notices: list[Notice]) -> list[str]:
    return [n.state for n in notices if isinstance(n, CommandMoved)]


async def test_who_asks_for_a_system_that_is_away_waits_until_it_is_there(folder: Path) -> None:
    async with open_bridge(load(folder / "bridge.yaml")) as bridge:
        await create(bridge, "a")
        reads, commands = await bridge.agent_access()
        assert await reads.get("a.thing", 1) is None
        assert commands.target("a.touch").key == ("id",)
        with pytest.raises(RetryLater, match="system 'b' can't be read yet"):
            await reads.get("b.thing", 1)
        with pytest.raises(RetryLater, match=r"system 'b' isn't there for b\.touch"):
            commands.target("b.touch")
        await create(bridge, "b")
        await until(lambda: is_open(reads))
        assert commands.target("b.touch").key == ("id",)


async def is_open(reads: Gateways) -> bool:
    try:
        return await reads.get("b.thing", 1) is None
    except RetryLater:
        return False


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "class Odd(Exception):\n    def __str__(self):\n        raise ValueError\nraise Odd",
            "Odd",
        ),
        ("raise SystemExit('\\ud83d')", r"SystemExit: \?"),
        ("None.attribute", "AttributeError: 'NoneType'"),
    ],
    ids=["textless", "half an emoji", "attribute"],
)
def test_whatever_an_agents_module_raises_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, reason: str
) -> None:
    """Also where the error has no text, and none that could be taken for a missing agent."""
    (tmp_path / "raising_agents.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("raising_agents:agent", str(tmp_path / "raising_agents.py")):
        with pytest.raises(ConfigurationError, match=f"raising_agents.*{reason}") as refused:
            load_agents([name])
        assert str(refused.value).encode()


@pytest.mark.parametrize("peers", [True, False])
async def test_a_systems_file_may_switch_peers_off(folder: Path, *, peers: bool) -> None:
    file = folder / "sys" / "a.yaml"
    file.write_text(f"{file.read_text()}peers: {str(peers).lower()}\n")
    demands = ReadDemands(cause=ReadCause("agent"))
    async with open_bridge(load(folder / "bridge.yaml")) as bridge:
        await create(bridge, "a")
        gateway = await bridge.gateway("a")
        assert gateway.peers.serves(demands) is peers
        await gateway.close()
