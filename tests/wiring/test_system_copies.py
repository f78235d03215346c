"""Copies as parts of a bridge that runs: who has one, what it reports, how it ends."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.config.load import load
from bridge.gateway.copy.contract import CopyStatus
from bridge.log.port import Record
from bridge.model.errors import ConfigurationError, RetryLater
from bridge.model.specs import EntitySpec
from bridge.model.types import Relation
from bridge.observe import Notice, PartState, RecordDistrusted
from bridge.wiring import Bridge, open_bridge
from bridge.wiring.agents import load_agents
from bridge.wiring.run_parts import BridgePart, build_parts, run_parts
from bridge.wiring.system_copies import (
    RECORD_NOTICE_INTERVAL_S,
    RecordReports,
    copy_section,
    fields_of_lists,
)
from tests.waiting import until

SYSTEM = """
system: a
connector: journal
url: sqlite:///a.db
entities:
  thing: {from: thing, key: id, fields: {id: {from: id}, a: {from: a}}}
"""
AGENT = """
from bridge import Agent

agent = Agent("reader")


@agent.on("a.thing")
async def read(event, ctx):
    return None
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///log.db\nsystems: a.yaml")
    (tmp_path / "a.yaml").write_text(SYSTEM)
    (tmp_path / "reader.py").write_text(AGENT)
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("create table thing (id integer primary key, a text)")
        db.commit()
    return tmp_path


@asynccontextmanager
async def opened(folder: Path, notices: list[Notice]) -> AsyncIterator[Bridge]:
    async with open_bridge(load(folder / "bridge.yaml"), notices.append) as bridge:
        connector, system = bridge.system("a")
        await connector.setup(system)
        yield bridge


@asynccontextmanager
async def running(parts: Sequence[BridgePart], notices: list[Notice]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_parts(parts, stop, notices.append))
    try:
        yield
    finally:
        stop.set()
        assert (await task).failed == {}


def agents_of(folder: Path) -> Any:
    return load_agents([str(folder / "reader.py")])


async def test_a_copy_runs_beside_agents_and_proves_what_it_contains(folder: Path) -> None:
    notices: list[Notice] = []
    async with opened(folder, notices) as bridge:
        parts = build_parts(bridge, agents_of(folder), ["capture", "agents"])
        copy = bridge.copies["a"]
        async with running(parts, notices):
            await until(lambda: copy.reasons("thing") == ())
            await copy.wait("thing", time.monotonic() + 60)
            claim = copy.claim("thing")
            assert claim is not None
            assert claim.position
            [report] = reports_of_copies(bridge)
            assert (report["system"], report["problem"]) == ("a", "")
            assert report["facts"]["barriers_passed"] >= 1
        assert copy.claim("thing") is None, "nothing is claimed once it has ended"
        assert not copy.has_barriers
        assert reports_of_copies(bridge) == []


def reports_of_copies(bridge: Bridge) -> list[dict[str, Any]]:
    return [each for each in bridge.group_reports.gateways.dump() if each["section"] == "copy"]


async def test_only_agents_have_copies_and_only_of_systems_that_are_captured(folder: Path) -> None:
    async with opened(folder, []) as bridge:
        assert [part.kind for part in build_parts(bridge, (), ["capture", "agents"])] == ["capture"]
        assert bridge.copies == {}
        connector, system = bridge.system("a")
        bridge._connectors["a"] = (Uncaptured(connector), system)
        assert [part.kind for part in build_parts(bridge, agents_of(folder), ["agents"])] == [
            "agent"
        ]
        assert bridge.copies == {}


class Uncaptured:
    """A connector without capture."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def capabilities(self) -> Any:
        return replace(self._inner.capabilities(), capture=False)


async def test_a_copy_whose_log_is_away_is_begun_again_and_ends_with_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[Notice] = []
    # A view would read the same log, and be refused in the copy's place.
    (folder / "a.yaml").write_text(SYSTEM.replace("key: id,", "key: id, view: no,"))
    async with opened(folder, notices) as bridge:
        parts = build_parts(bridge, agents_of(folder), ["agents"])
        plain, failures = bridge.log.end_offsets, 3

        async def end_offsets(partitions: Any) -> Any:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise RetryLater("the log is away")
            return await plain(partitions)

        monkeypatch.setattr(bridge.log, "end_offsets", end_offsets)
        copies = [part for part in parts if part.kind == "copy"]
        assert [part.watches for part in copies] == [True]
        async with running([replace(part, watches=False) for part in copies], notices):
            await bridge.log.create_topics(internal_topics(bridge))
            await until(lambda: failures < 0)
        states = states_of_copies(notices)
        assert states[0] == "running"
        assert "retrying" in states
        assert states[-1] == "stopped"


async def test_a_copy_that_may_not_follow_is_tried_again_and_fails_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notices: list[Notice] = []
    async with opened(folder, notices) as bridge:
        await bridge.log.create_topics(internal_topics(bridge))
        parts = build_parts(bridge, agents_of(folder), ["agents"])

        async def end_offsets(_: Any) -> Any:
            raise ConfigurationError("no right to read acme.dead")

        monkeypatch.setattr(bridge.log, "end_offsets", end_offsets)
        copies = [replace(part, watches=False) for part in parts if part.kind == "copy"]
        async with running(copies, notices):
            await until(lambda: "retrying" in states_of_copies(notices))
        assert "failed" not in states_of_copies(notices)


def states_of_copies(notices: list[Notice]) -> list[str]:
    return [n.state for n in notices if isinstance(n, PartState) and n.kind == "copy"]


def internal_topics(bridge: Bridge) -> Any:
    from bridge.log.topic_specs import internal_topic_specs

    return internal_topic_specs(bridge.name, embedded_registry=False, remembers_ids=False)


def test_many_records_that_cannot_be_read_are_few_notices() -> None:
    notices: list[Any] = []
    now = 0.0
    report = RecordReports("a", notices.append, lambda: now)

    def record(topic: str, offset: int) -> Record:
        return Record(topic, 0, offset, 0, None, None, ())

    for offset in range(100):
        report(record("acme.a.thing", offset), "junk")
    report(record("acme.dead", 0), "junk, too")
    now = RECORD_NOTICE_INTERVAL_S
    report(record("acme.a.thing", 100), "junk")
    assert notices == [
        RecordDistrusted("a", "acme.a.thing-0 offset 0", "junk", 1),
        RecordDistrusted("a", "acme.dead-0 offset 0", "junk, too", 1),
        RecordDistrusted("a", "acme.a.thing-0 offset 100", "junk", 100),
    ]


def test_lists_by_declared_relations_are_expected() -> None:
    lines = (Relation("lines", "line", ("order", "part")), Relation("notes", "note", "order"))
    specs = [EntitySpec("a", "order", "order", relations=lines), EntitySpec("a", "line", "line")]
    assert fields_of_lists(specs) == {"line": {"order", "part"}, "note": {"order"}}


def test_the_report_says_how_old_the_oldest_claim_is_and_what_is_in_doubt() -> None:
    status = CopyStatus(
        ages={"order": 2.5, "line": 0.5, "note": None},
        doubts={"note": ("it is paused",)},
        doubtful_keys={"order": 1},
        troubles=(),
        entries=7,
        bytes=700,
        fenced_keys=1,
        unshown_transactions=1,
        barriers=(3, 2),
        applied=9,
    )
    section = copy_section(status)
    assert section.summary == (
        "7 rows and lists in 700 bytes, proved up to 2.5 s ago, in doubt: note"
    )
    troubled = replace(status, troubles=("barriers: no right to write",))
    assert copy_section(troubled).summary == f"{section.summary}; barriers: no right to write"
    assert section.facts["doubts"] == {"note": ["it is paused"]}
    nothing = replace(status, ages={"order": None}, doubts={})
    assert copy_section(nothing).summary == "7 rows and lists in 700 bytes, nothing proved yet"
