"""Whether the files of an embedded log are still those that were opened.

Writes through a connection to a file that was removed are lost with it, which SQLite doesn't
report. The same applies to the `-wal` and `-shm` files beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.model.errors import ConfigurationError

FileId = tuple[int, int]
"""Device and inode."""
_PROCESSES = Path("/proc")


def companions(path: Path) -> tuple[Path, Path]:
    """The files that SQLite keeps beside an open database."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def file_id(path: Path) -> FileId | None:
    """The identity of the file that has this name now; None: there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class OpenFiles:
    """The files of one connection, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[Path, FileId] = {}
        self._add([path])

    def add_companions(self) -> None:
        """Include the companion files from now on: something was written."""
        if len(self._ids) <= 1:
            self._add(companions(self._path))

    def _add(self, paths: Sequence[Path]) -> None:
        self._ids |= {path: identity for path in paths if (identity := file_id(path)) is not None}

    def check(self) -> None:
        """Raises ConfigurationError if one of them was removed or replaced."""
        for path, expected in self._ids.items():
            identity = file_id(path)
            if identity != expected:
                raise replaced(self._path, path, removed=identity is None)


def replaced(log: Path, file: Path, *, removed: bool) -> ConfigurationError:
    """The error for a removed or replaced file."""
    what = "was removed" if removed else "was replaced by another file"
    part = "" if file == log else f"{file.name}, which is a part of it, "
    return ConfigurationError(
        f"the embedded log {log}: {part}{what} while it was open: nothing was written. Stop "
        "every process of this bridge before replacing the file, and start them again now. To keep "
        "the log's content, restore a backup of it first; without one "
        "the bridge begins with an empty log, and reports which systems it can't continue with"
    )


def left_behind(path: Path) -> ConfigurationError | None:
    """Why no new file may be created at `path`: parts of another one exist."""
    remains = [str(each) for each in companions(path) if each.exists()]
    if path.exists() or not remains:
        return None
    return ConfigurationError(
        f"the embedded log {path} was removed, but {' and '.join(remains)} are still there: a "
        "process has it open, or crashed. Stop every process of this bridge, restore a "
        f"backup, or, to begin with an empty log, remove {' and '.join(remains)} too"
    )


def processes_on_removed_file(path: Path) -> list[int]:
    """The processes that have a removed file of this name open. Linux only, and only those of this
    user; empty elsewhere.
    """
    # The system shows a file's resolved name, without symbolic links.
    removed = f"{path.resolve()} (deleted)"
    processes: list[int] = []
    for process in sorted(_PROCESSES.glob("[0-9]*/fd"), key=lambda each: int(each.parent.name)):
        try:
            if any(str(each.readlink()) == removed for each in process.iterdir()):
                processes.append(int(process.parent.name))
        except OSError:
            continue  # It ended, or belongs to another user.
    return processes
