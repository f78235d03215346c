"""`bridgectl view`: what the file of a view holds, without the legacy system."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli.app import group
from bridge.gateway.view.owner_lock import OwnerLock
from bridge.gateway.view.view_inspection import take_rebuild_request
from bridge.wiring.run_parts import build_parts
from tests.waiting import until
from tests.wiring.test_system_copies import agents_of, folder, opened, running

__all__ = ["folder"]


@pytest.fixture
def built(folder: Path) -> Path:
    """A folder with a complete view of two rows."""

    async def build() -> None:
        async with opened(folder, []) as bridge:
            parts = build_parts(bridge, agents_of(folder), ["capture", "agents"])
            async with running(parts, []):
                await until(
                    lambda: "a" in bridge.views and bridge.views["a"].claim("thing") is not None
                )

    with closing(sqlite3.connect(folder / "a.db")) as db:
        db.execute("insert into thing values (1, 'one'), (2, 'two')")
        db.commit()
    asyncio.run(build())
    return folder


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(group, ["-c", str(folder / "bridge.yaml"), "view", *words])


def test_without_a_view_there_is_nothing_to_show(folder: Path) -> None:
    result = call(folder, "a")
    assert result.exit_code == 3
    assert "there is no view" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["b"], "there is no system 'b'; systems are a"),
        (["a", "thin"], "has no entity 'thin'; it has thing"),
        (["a", "--drop", "--rebuild"], "not both"),
        (["a", "thing", "--drop"], "for the view of a whole system"),
    ],
)
def test_wrong_names_and_options_say_what_there_is(
    folder: Path, words: list[str], message: str
) -> None:
    result = call(folder, *words)
    assert result.exit_code != 0
    assert message in " ".join((result.output or str(result.exception)).split()) or message in str(
        result.exception
    )


def test_it_shows_what_a_view_holds_and_its_rows_by_key(built: Path) -> None:
    shown_rows = json.loads(call(built, "a", "--json").output)
    assert (shown_rows["entity"], shown_rows["rows"], shown_rows["unknown"]) == ("thing", 2, 0)
    assert (shown_rows["state"], shown_rows["kept_up"]) == ("complete", False)
    row = json.loads(call(built, "a", "thing", "2", "--json").output)
    assert row["row"] == {"id": 2, "a": "two"}
    assert "two" in call(built, "a", "thing", "2").output
    assert "no process keeps it up" in call(built, "a").output
    missing = call(built, "a", "thing", "77")
    assert (missing.exit_code, "isn't in the view" in missing.output) == (3, True)
    assert call(built, "a", "thing", "x").exit_code == 2


def test_a_damaged_file_is_named(built: Path) -> None:
    path = built / "views" / "acme.a.view"
    path.write_bytes(b"\0" * 10_000)
    result = call(built, "a")
    assert result.exit_code == 3
    assert "file is not a database" in result.output


def test_a_view_is_dropped_unless_a_process_keeps_it_up(built: Path) -> None:
    path = built / "views" / "acme.a.view"
    lock = OwnerLock(path)
    result = call(built, "a", "--drop", "--yes")
    assert result.exit_code != 0
    assert path.exists()
    assert "kept_up" in call(built, "a", "--json").output
    assert call(built, "a", "--rebuild", "--yes").exit_code == 0
    assert take_rebuild_request(path)
    assert not take_rebuild_request(path)
    lock.close()
    assert call(built, "a", "--drop", "--yes").exit_code == 0
    assert not path.exists()


def test_a_view_that_nobody_keeps_up_is_built_again_by_the_next_run(built: Path) -> None:
    assert call(built, "a", "--rebuild", "--yes").exit_code == 0
    assert not (built / "views" / "acme.a.view").exists()
