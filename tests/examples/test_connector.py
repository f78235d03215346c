"""The whole small connector: a project begun with it passes the suite as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("processes")

PROGRAM = Path(sys.executable).with_name("bridgectl")


def connector_new(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`bridgectl connector new` in a folder."""
    return subprocess.run(
        [str(PROGRAM), "connector", "new", *words],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_new_connector_passes_the_suite(tmp_path: Path) -> None:
    ended = connector_new(tmp_path, "acme_crm")
    assert ended.returncode == 0, ended.stderr
    project = tmp_path / "acme_crm"
    for path in project.rglob("*"):
        assert "ticketdesk" not in path.name
        assert path.is_dir() or "ticketdesk" not in path.read_text().lower(), path
    # Not installed, but importable in the processes that the suite kills.
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(project)},
    )
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "skipped" not in tests.stdout


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Acme", "lower-case letters"),
        ("acme-crm", "lower-case letters"),
        ("json", "taken by Python"),
        ("class", "taken by Python"),
        ("odata", "already installed"),
        ("taken", "already exists"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "taken").mkdir()
    ended = connector_new(tmp_path, name)
    assert ended.returncode == 2
    assert reason in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_installed_connectors_are_listed() -> None:
    ended = subprocess.run(
        [str(PROGRAM), "connector", "list"], check=True, capture_output=True, text=True
    )
    names = [line.split()[0] for line in ended.stdout.splitlines()]
    assert names == sorted(names)
    assert {"journal", "odata", "postgres", "tryton"} <= set(names)
