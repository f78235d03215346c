"""Views in a bridge that runs: made beside agents, kept up, reported, resumed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bridge.gateway.view.contract import ViewStatus
from bridge.gateway.view.view_choice import ViewChoice
from bridge.observe import Notice, ViewMoved
from bridge.wiring import Bridge
from bridge.wiring.run_parts import build_parts
from bridge.wiring.system_views import view_section
from tests.waiting import until
from tests.wiring.test_system_copies import agents_of, folder, opened, running

__all__ = ["folder"]

KEY_1 = b"\x02"


def run(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as db:
        db.execute(statement)
        db.commit()


def sections(bridge: Bridge) -> list[dict[str, Any]]:
    return [each for each in bridge.group_reports.gateways.dump() if each["section"] == "view"]


def is_ready(bridge: Bridge) -> Callable[[], bool]:
    return lambda: "a" in bridge.views and bridge.views["a"].status().phase == "ready"


async def test_a_view_is_built_beside_agents_and_follows_its_system(folder: Path) -> None:
    run(folder, "insert into thing values (1, 'one')")
    notices: list[Notice] = []
    async with opened(folder, notices) as bridge:
        parts = build_parts(bridge, agents_of(folder), ["capture", "agents"])
        async with running(parts, notices):
            await until(is_ready(bridge), describe=lambda: sections(bridge))
            view = bridge.views["a"]
            await until(lambda: view.claim("thing") is not None)
            row = view.get("thing", KEY_1)
            assert row is not None
            assert row.as_dict() == {"id": 1, "a": "one"}
            assert view.get("thing", b"\x04") is None
            run(folder, "update thing set a = 'two' where id = 1")
            asked_at = time.monotonic()

            async def is_proved() -> bool:
                await view.wait("thing", time.monotonic() + 5)
                claim = view.claim("thing")
                return claim is not None and claim.as_of >= asked_at

            await until(is_proved)
            row = view.get("thing", KEY_1)
            assert row is not None
            assert row["a"] == "two"
            [report] = sections(bridge)
            assert report["facts"]["phase"] == "ready"
            assert report["facts"]["entities"] == ["thing"]
            await until(lambda: "ready" in phases(notices))
        assert "a" not in bridge.views
    assert (folder / "views" / "acme.a.view.clean").exists()


def phases(notices: list[Notice]) -> list[str]:
    return [notice.phase for notice in notices if isinstance(notice, ViewMoved)]


async def test_a_view_that_is_not_wanted_is_off_and_says_why(folder: Path) -> None:
    system = (folder / "a.yaml").read_text()
    (folder / "a.yaml").write_text(system.replace("key: id,", "key: id, view: no,"))
    async with opened(folder, []) as bridge:
        parts = build_parts(bridge, agents_of(folder), ["agents"])
        async with running(parts, []):
            await until(lambda: any("view: no" in each["summary"] for each in sections(bridge)))
            assert bridge.views == {}
    assert not (folder / "views").exists()


async def test_a_defect_of_a_view_is_reported_and_harms_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("unexpected")

    monkeypatch.setattr("bridge.wiring.system_views.make_view", broken)
    notices: list[Notice] = []
    async with opened(folder, notices) as bridge:
        parts = build_parts(bridge, agents_of(folder), ["agents"])
        async with running(parts, notices):
            await until(lambda: any("a defect" in each["summary"] for each in sections(bridge)))
    assert any(isinstance(each, ViewMoved) and "defect" in each.reason for each in notices)


def test_a_section_says_how_far_it_is_and_what_is_left_out() -> None:
    choice = ViewChoice(("thing",), {"big": "its topic has 9 records"})
    status = ViewStatus("building", "there was none", 0.43, 12, 3.0, 2_000_000, ("thing",))
    section = view_section(status, choice)
    assert section.summary == "building 43%: 1 entities in 2.0 MB (there was none)"
    assert section.facts["left_out"] == {"big": "its topic has 9 records"}
    assert (section.facts["share"], section.facts["rows"]) == (0.43, 12)
    off = view_section(None, ViewChoice((), {"big": "it has `view: no`"}))
    assert off.summary == "off: it has `view: no`"
