"""The disk under the embedded log: how much is left of it, and who says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.log.embedded import filesystem
from bridge.log.embedded.filesystem import FULL_BYTES, SCARCE_BYTES, disk_problem
from tests.cli.bridge_folder import create_bridge_folder


def leave_free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(filesystem, "free_bytes", lambda _: count)


def test_a_disk_that_is_full_or_nearly_so_is_told_with_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = Path(__file__)
    assert disk_problem(path) == "", "of the real one"
    leave_free(monkeypatch, 4096)
    assert "is full: 0.0 MiB" in disk_problem(path)
    leave_free(monkeypatch, 9 << 20)
    assert disk_problem(path) == ""
    assert "is nearly full: 9.0 MiB" in disk_problem(path, SCARCE_BYTES)
    leave_free(monkeypatch, FULL_BYTES)
    assert disk_problem(path) == ""


@pytest.mark.usefixtures("processes")
def test_check_and_status_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` was green while nothing could be written, and `status` blamed the source."""
    demo = create_bridge_folder(tmp_path / "demo")
    assert demo.call("setup", "erp", "--yes").code == 0
    with demo.running():
        demo.until("tail", "customer", "--no-follow", "--json", count=40)
    leave_free(monkeypatch, 9 << 20)
    check = demo.call("check")
    assert (check.code, "nearly full" in check.out) == (0, True)
    assert "the disk" not in demo.call("status").out
    leave_free(monkeypatch, 0)
    check, status = demo.call("check"), demo.call("status")
    for answer in (check, status):
        assert (answer.code, "the disk that holds it is full" in answer.out) == (1, True)
