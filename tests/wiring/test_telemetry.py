"""What a bridge that really runs serves of itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from bridge.config.load import load
from bridge.model.errors import ConfigurationError
from bridge.observe import both, ignore
from bridge.wiring import open_bridge
from bridge.wiring.agents import load_agents
from bridge.wiring.run_parts import build_parts, run_parts
from bridge.wiring.run_scope import RunScope, run_scope
from bridge.wiring.telemetry import Telemetry
from tests.waiting import until
from tests.wiring.test_metrics import Series, series

KINDS = ("capture", "agents", "commands")
CONFIG = """
bridge: acme
log: sqlite:///log.db
systems: shop.yaml
"""
SYSTEM = """
system: shop
connector: journal
url: sqlite:///shop.db
entities:
  thing: {from: thing, key: id, fields: {id: {from: id}}}
commands:
  touch: {entity: thing, run: "update thing set id = id where id = :key", tier: outside_the_loop}
"""
AGENT = """
from bridge import Agent, Command

agent = Agent("toucher")


@agent.on("shop.thing")
async def touch(event, ctx):
    await ctx.get("shop.thing", event.key["id"])
    return Command("shop.touch", key=event.key)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bridge of one system, whose table has a row."""
    (tmp_path / "bridge.yaml").write_text(CONFIG)
    (tmp_path / "shop.yaml").write_text(SYSTEM)
    (tmp_path / "toucher.py").write_text(AGENT)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.execute("CREATE TABLE thing (id INTEGER PRIMARY KEY)")
    return tmp_path


async def test_all_that_a_run_tells_is_there_from_the_start_under_the_names_of_its_files(
    folder: Path,
) -> None:
    """It told of `shop.shop.thing`, and of nothing before it had happened."""
    config = load(folder / "bridge.yaml")
    agents = load_agents([str(folder / "toucher.py")])
    telemetry = Telemetry(run_scope(config, agents, KINDS))
    before = series(telemetry.metrics)
    stop = asyncio.Event()
    with telemetry.served("127.0.0.1:0") as port:
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
            open_bridge(config, both(telemetry, ignore)) as bridge,
            telemetry.watching(bridge),
        ):
            assert await readiness(client) == 503
            connector, system = bridge.system("shop")
            await connector.setup(system)
            running = asyncio.create_task(
                run_parts(build_parts(bridge, agents, KINDS), stop, telemetry)
            )
            await until(lambda: is_ready(client))
            assert (await client.get("/healthz")).text == "ok\n"
            with closing(sqlite3.connect(folder / "shop.db")) as db:
                db.execute("insert into thing values (1)")
                db.commit()
            done = ("bridge_command_transitions_total", (("state", "succeeded"),))
            await until(lambda: series(telemetry.metrics)[done] == 1)
            await until(lambda: set(lags_of(telemetry, "acme.agent.toucher")) == {0})
            await until(lambda: set(lags_of(telemetry, "acme.executor.shop")) == {0})
            await until(lambda: reported(telemetry) == declared(before))
            after = series(telemetry.metrics)
            stop.set()
            ended = await running
            assert await readiness(client) == 503
    assert ended.failed == {}
    assert {name for name, _ in after.keys() - before.keys()} == {"bridge_group_lag_records"}
    assert after["bridge_group_lag_known", (("group", "acme.executor.shop"),)] == 1
    assert labels(after, "entity") == {"shop.thing"}
    assert labels(after, "system") == {"shop"}
    answers = [
        count
        for (name, pairs), count in after.items()
        if name == "bridge_answers_total" and ("entity", "shop.thing") in pairs
    ]
    assert sum(answers) >= 1


def reported(telemetry: Telemetry) -> set[tuple[str, str]]:
    """Kinds and names of all whose progress was reported."""
    return set(telemetry._progress._reports)


def declared(samples: dict[Series, float]) -> set[tuple[str, str]]:
    """The same of all that have a gauge for it."""
    series_labels = [dict(pairs) for name, pairs in samples if name == "bridge_stalled"]
    return {(labels["kind"], labels["name"]) for labels in series_labels}


def lags_of(telemetry: Telemetry, group: str) -> list[float]:
    """Of each partition; the only series that aren't known before the log is asked."""
    return [
        value
        for (name, pairs), value in series(telemetry.metrics).items()
        if name == "bridge_group_lag_records" and ("group", group) in pairs
    ]


def labels(samples: dict[Series, float], name: str) -> set[str]:
    return {value for _, pairs in samples for label, value in pairs if label == name}


async def readiness(client: httpx.AsyncClient) -> int:
    answer = await client.get("/readyz")
    assert json.loads(answer.text)["ready"] is (answer.status_code == 200)
    return answer.status_code


async def is_ready(client: httpx.AsyncClient) -> bool:
    return await readiness(client) == 200


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", "host.invalid:80"])
async def test_an_address_that_cannot_be_used_is_named(address: str) -> None:
    telemetry = Telemetry(RunScope("acme", (), (), (), (), {}))
    with pytest.raises(ConfigurationError, match="--metrics"), telemetry.served(address):
        pass
