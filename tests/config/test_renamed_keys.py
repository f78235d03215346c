"""A key that has another name by now is an error that names the new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bridge.config import ConfigProblems, load
from bridge.config.connector_sections import capture_options, login_options
from bridge.config.renamed_keys import RENAMED_KEYS, RenamedKey
from bridge.wiring.connectors import connector_names, load_connector
from tests.config.files import BRIDGE, ENVIRON, SYSTEM, write

ROOT = Path(__file__).parents[2]
#: A value of `change_detection` has the name that a key had.
STILL_A_VALUE = {"listing"}
CONNECTORS = sorted(set(connector_names()) & {"journal", "odata", "postgres", "tryton"})


def problems_of(folder: Path, path: tuple[str, ...], value: Any, connector: str) -> str:
    """What is said of a key at `path` of the file that has it; "" for a right one."""
    section: Any = value
    for key in reversed(path[1:]):
        section = {key.replace("*", "orders"): section}
    bridge: Mapping[str, Any] = BRIDGE
    system: Mapping[str, Any] = {**SYSTEM, "connector": connector, "capture": {}}
    if path[0] == "log":
        section["kafka"]["servers"] = ["k1:9092"]
        section["kafka"]["registry"]["url"] = "https://registry/apis"
        bridge = {**BRIDGE, "log": section}
    else:
        system = {**system, path[0]: section}
    try:
        config = load(write(folder, bridge, system), ENVIRON).systems[0]
        loaded = load_connector(config)
        capture_options(config, loaded.options, ENVIRON)
        login_options(config, getattr(loaded, "login", None), ENVIRON)
    except ConfigProblems as error:
        return str(error)
    return ""


@pytest.mark.parametrize("row", RENAMED_KEYS, ids=lambda row: ".".join(row.old))
def test_an_old_key_is_refused_with_the_new_one(tmp_path: Path, row: RenamedKey) -> None:
    value = "${env:MASK}"  # or it would be a secret in clear
    texts = [problems_of(tmp_path, row.old, value, connector) for connector in CONNECTORS]
    expected = row.section or f"it is now called {row.new!r}"
    assert any(
        f"{row.old[-1]!r} is not a known key here" in text and expected in text for text in texts
    )


@pytest.mark.parametrize(
    "row", [row for row in RENAMED_KEYS if not row.section], ids=lambda row: row.new
)
def test_only_a_connector_that_knows_the_new_key_names_it(tmp_path: Path, row: RenamedKey) -> None:
    hint = f"it is now called {row.new!r}"
    for connector in CONNECTORS:
        knows_new = "is not a known key here" not in problems_of(
            tmp_path, (*row.old[:-1], row.new), "x", connector
        )
        assert (hint in problems_of(tmp_path, row.old, "x", connector)) == knows_new, connector


def test_a_renamed_key_is_written_under_its_new_name(tmp_path: Path) -> None:
    assert problems_of(tmp_path, ("capture", "in_doubt_timeout"), 300, "odata") == ""
    path = ("capture", "sets", "*", "change_detection")
    assert problems_of(tmp_path, path, "listing", "odata") == ""


@pytest.mark.parametrize(
    "old", sorted({row.old[-1] for row in RENAMED_KEYS if not row.section} - STILL_A_VALUE)
)
def test_no_message_and_no_page_names_a_key_by_its_old_name(old: str) -> None:
    files = [*ROOT.glob("connectors/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    naming = [str(file.relative_to(ROOT)) for file in files if f"`{old}`" in file.read_text()]
    assert naming == []
