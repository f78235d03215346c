"""What the bridge stores is its owner's alone, whatever the umask, from the moment it is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.config import load
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Entry, TopicSpec
from bridge.model.errors import ConfigurationError
from bridge.private_files import (
    exposed_files,
    make_private_file,
    make_private_folder,
    others_write,
)
from bridge.wiring.check.log import log_findings


@pytest.fixture(params=[0o000, 0o022, 0o277], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): oct(stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
    }


@pytest.mark.usefixtures("umask")
async def test_every_file_of_the_embedded_log_is_its_owners_alone(tmp_path: Path) -> None:
    log = EmbeddedLog(tmp_path / "a" / "var" / "bridge.db")
    await log.open()
    await log.create_topics([TopicSpec("acme.t")])
    await log.append("acme.t", [Entry(b"k", b"v")])
    while_open = modes(tmp_path)
    await log.close()
    files = {f"a/var/bridge.db{suffix}" for suffix in ("", "-wal", "-shm")}
    assert while_open == {"a": "0o700", "a/var": "0o700", **dict.fromkeys(files, "0o600")}
    assert set(modes(tmp_path).values()) == {"0o700", "0o600"}


@pytest.mark.usefixtures("umask")
def test_a_file_that_others_made_first_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    make_private_file(path)
    path.write_text("line")
    make_private_file(path)
    assert path.read_text() == "line"
    assert modes(tmp_path) == {"events.jsonl": "0o600"}


@pytest.mark.usefixtures("umask")
async def test_a_link_to_a_file_that_is_not_there_makes_that_one_private(tmp_path: Path) -> None:
    """SQLite would make it, with what the umask leaves, as it follows the link."""
    disk = tmp_path / "disk"
    make_private_folder(disk)
    (tmp_path / "bridge.db").symlink_to(disk / "log.db")
    log = EmbeddedLog(tmp_path / "bridge.db")
    await log.open()
    await log.create_topics([TopicSpec("acme.t")])
    file_modes = modes(disk)
    exposed = list(exposed_files(tmp_path / "bridge.db"))
    (disk / "log.db-wal").chmod(0o644)
    exposed_later = list(exposed_files(tmp_path / "bridge.db"))
    await log.close()
    assert file_modes == dict.fromkeys(("log.db", "log.db-wal", "log.db-shm"), "0o600")
    assert exposed == []
    assert exposed_later == [(disk / "log.db-wal").resolve()]


async def test_what_is_there_keeps_its_mode_and_check_says_who_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "bridge.yaml").write_text(
        "bridge: acme\nlog: sqlite:///var/bridge.db\nsystems: []\n"
    )
    config = load(tmp_path / "bridge.yaml")
    path = tmp_path / "var" / "bridge.db"
    log = EmbeddedLog(path)
    await log.open()
    await log.close()
    assert [finding.fix async for finding in log_findings(config) if "chmod" in finding.fix] == []
    path.chmod(0o640)
    path.parent.chmod(0o777)
    await log.open()
    await log.close()
    assert modes(tmp_path)["var/bridge.db"] == "0o640"
    warnings = [finding async for finding in log_findings(config) if "chmod" in finding.fix]
    assert {finding.severity for finding in warnings} == {"warning"}
    fixes = {finding.fix for finding in warnings}
    assert fixes >= {f"chmod 600 {path}", f"chmod go-w {path.parent}"}
    # SQLite gives the files beside it the same mode; whether they are there is its own affair.
    beside = {f"chmod 600 {path}-wal", f"chmod 600 {path}-shm"}
    assert fixes - beside == {f"chmod 600 {path}", f"chmod go-w {path.parent}"}


@pytest.mark.parametrize(
    ("mode", "owner", "group", "exposed"),
    [
        pytest.param(0o2775, 0, 2000, False, id="a volume of Kubernetes with the pod's fsGroup"),
        pytest.param(0o770, 10001, 0, False, id="the image's folder"),
        pytest.param(0o770, 7, 0, False, id="the image's folder on OpenShift"),
        pytest.param(0o700, 1000, 1000, False, id="its own"),
        pytest.param(0o770, 1000, 1000, True, id="its own, and its group's"),
        pytest.param(0o770, 0, 3000, True, id="a group to which it doesn't belong"),
        pytest.param(0o2777, 0, 2000, True, id="everybody's"),
        pytest.param(0o1777, 0, 0, False, id="everybody's, sticky"),
    ],
)
def test_a_group_by_which_the_bridge_itself_writes_is_no_other(
    mode: int, owner: int, group: int, exposed: bool
) -> None:
    """`check` told every pod to run chmod on its volume, which isn't its own to change."""
    folder = os.stat_result((stat.S_IFDIR | mode, 0, 0, 1, owner, group, 0, 0, 0, 0))
    assert others_write(folder, 1000, {1000, 2000}) is exposed


def test_a_folder_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        make_private_folder(tmp_path / "file" / "var")
    make_private_folder(tmp_path)


async def test_a_log_whose_folder_is_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/bridge\.db"):
        await EmbeddedLog(tmp_path / "file" / "bridge.db").open()
