"""Which file systems can't hold the log's file."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bridge.model.errors import ConfigurationError
from bridge.private_files import make_private_folder

#: `f_type` of statfs(2): file systems whose locks and shared memory don't span machines.
_NETWORK = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFE534D42: "SMB",
    0xFF534D42: "CIFS",
    0x01021997: "9P",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x00C36400: "Ceph",
    0x564C: "NCP",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x786F4256: "VirtualBox shared folder",
    0x19830326: "BeeGFS",
}
_FUSE = 0x65735546
_MEBIBYTE: Final = 1 << 20
FULL_BYTES: Final = _MEBIBYTE
"""With less free space a transaction of capture no longer fits."""
SCARCE_BYTES: Final = 64 * _MEBIBYTE
"""With less free space an hour of a busy system may fill the disk."""


def network_file_system(folder: Path) -> str | None:
    """The name of the network file system that holds `folder`; None if it is local.

    Linux only: None elsewhere.
    """
    if sys.platform != "linux":
        return None
    kind = _statfs_type(folder)
    if kind == _FUSE:
        mounted = _mounted_as(folder)
        return mounted if mounted.startswith("fuse.") else None
    return _NETWORK.get(kind)


def location_problem(
    path: Path, network: Callable[[Path], str | None] = network_file_system
) -> str:
    """Why the file could not be created there; empty if it could. Creates nothing."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"can't be created: {folder} is not a folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"can't be created: this user may not write to {folder}"
    if (where := network(folder)) is not None:
        return f"can't be created: {folder} is on {where}, whose locks don't work between machines"
    return ""


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write there."""
    return shutil.disk_usage(folder).free


def disk_problem(path: Path, at_least: int = FULL_BYTES) -> str:
    """Why the log in this file can't grow by `at_least` bytes; empty if it can."""
    left = free_bytes(path.parent)
    if left >= at_least:
        return ""
    state = "is full" if left < FULL_BYTES else "is nearly full"
    return f"the disk that holds it {state}: {left / _MEBIBYTE:.1f} MiB are free"


def check_location(path: Path, network: Callable[[Path], str | None] = network_file_system) -> None:
    """Create the folder of `path` if it is missing, accessible to its owner only.

    Raises ConfigurationError if it can't be created or is on a network file system, where neither
    SQLite's locks nor its shared memory work between machines.
    """
    try:
        make_private_folder(path.parent)
        network_type = network(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"the folder of the embedded log {path} can't be used: {error.strerror}"
        ) from error
    if network_type is not None:
        raise ConfigurationError(
            f"the embedded log {path} is on a network file system ({network_type}), where two "
            "machines "
            "could destroy it: put it on a local disk, or use Kafka (log: kafka://...)"
        )


def _statfs_type(folder: Path) -> int:
    """`f_type`, the first word of Linux's struct statfs (which is under 256 bytes)."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(256)
    if libc.statfs(os.fsencode(folder), buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF


def _mounted_as(folder: Path) -> str:
    """The type of the mount that holds `folder`, as /proc/self/mountinfo names it."""
    wanted = folder.resolve()
    best, kind = -1, ""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        mount, _, source = line.partition(" - ")
        point = Path(mount.split(" ")[4].replace("\\040", " "))
        if wanted.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), source.split(" ")[0]
    return kind
