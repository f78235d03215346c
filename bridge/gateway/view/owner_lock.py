"""One owner for the file of a view: a lock of the operating system, which ends with its process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from bridge.private_files import make_private_file, make_private_folder

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class OwnedElsewhere(Exception):
    """Another process owns the file."""


class OwnerLock:
    """The lock beside the file at `path`. Raises OwnedElsewhere, OSError."""

    def __init__(self, path: Path) -> None:
        if fcntl is None:  # pragma: no cover - Windows
            raise OSError("this operating system has no flock")
        self.path = path.with_name(path.name + ".lock")
        make_private_folder(path.parent)
        make_private_file(self.path)
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise OwnedElsewhere(f"another process owns {path}") from None
        except OSError:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Let the next owner have it. The lock's file stays: removing it would let two have one."""
        os.close(self._descriptor)


def is_owned(path: Path) -> bool:
    """Whether a process owns the file at `path`. Raises OSError."""
    if not path.with_name(path.name + ".lock").exists():
        return False
    try:
        OwnerLock(path).close()
    except OwnedElsewhere:
        return True
    return False


def boot_id(file: Path = BOOT_ID) -> str:
    """What changes with each start of the machine; empty where that isn't known."""
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
