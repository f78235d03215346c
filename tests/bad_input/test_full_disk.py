"""A full disk under the embedded log: said, waited for, and nothing is lost or comes twice."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.bad_input.erp import demo_erp
from tests.waiting import wait_until


class SmallDisk(NamedTuple):
    """`folder` is where programs see it that are started with `enter` in front; `outside` is
    where all others do.
    """

    folder: Path
    outside: Path
    enter: list[str]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 5 MB in a mount namespace of its own, gone with the program that holds it."""
    if shutil.which("unshare") is None:
        pytest.fail("install util-linux: `unshare` makes the small disk that this test fills")
    disk = tmp_path / "disk"
    disk.mkdir()
    root = os.geteuid() == 0
    private = ["unshare", "--mount", *([] if root else ["--map-root-user"])]
    mount = f'mount -t tmpfs -o size=5m tmpfs "{disk}" && echo mounted && exec cat'
    with subprocess.Popen(
        [*private, "sh", "-c", mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mounted\n"
        enter = ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        if not root:
            enter += [f"--user=/proc/{holder.pid}/ns/user", "--preserve-credentials"]
        yield SmallDisk(disk, Path(f"/proc/{holder.pid}/root{disk}"), enter)
        assert holder.stdin is not None
        holder.stdin.close()


@pytest.mark.usefixtures("processes")
def test_a_full_disk_is_told_and_once_there_is_room_capture_goes_on(
    tmp_path: Path, small_disk: SmallDisk
) -> None:
    small_erp = demo_erp(tmp_path / "erp", f"sqlite:///{small_disk.folder}/bridge.db")
    bridge = small_erp.bridge
    bridge.before = small_disk.enter
    spare = small_disk.outside / "spare"
    with bridge.running() as run:
        run.says("entity=erp.customer rows=40")
        wait_until(small_erp.is_in_the_log, describe=lambda: run.text)
        fill(spare)
        raised: list[int] = []

        def full() -> bool:
            for customer in range(1, 41):
                raised.append(len(raised) + 1)
                small_erp.raise_exposure(customer, raised[-1])
            return "is full" in run.text

        wait_until(full, describe=lambda: run.text)
        text = run.says("is full: nothing was written; free some space.*state=retrying")
        assert "bridge.db" in text
        send = ("commands", "send", "block_order", "--key", "1", "--arg", "reason=x")
        bridge.fails(*send, code=1, says=("bridge.db", "is full", "free some space"))
        small_erp.raise_exposure(1, 999_999)
        spare.unlink()
        wait_until(
            lambda: len(small_erp.exposures_of_updates()) > len(raised), describe=lambda: run.text
        )
    assert sorted(small_erp.exposures_of_updates()) == sorted(
        f"{cents / 100:.2f}" for cents in [*raised, 999_999]
    )
    assert small_erp.is_in_the_log()
    assert bridge.call("commands").code == 3


def fill(spare: Path) -> None:
    """Take all the room that is left."""
    block = b"x" * 4096
    with spare.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        file.writelines(repeat(block))
