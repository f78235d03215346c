"""Files and folders that nobody but their owner may read, from the moment they are there.

What the bridge stores is business data. A process's umask decides nothing here: neither whether
others can read a file (0600, folders 0700), nor whether the owner can. What is there already keeps
its mode, which somebody may have chosen: `bridgectl check` warns of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


def make_private_file(path: Path) -> None:
    """Make `path`, empty, where nothing is there; of a link what it names. Raises OSError."""
    path = path.resolve()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags, FILE_MODE)
    except FileExistsError:
        return
    try:
        _set_mode(descriptor, path, FILE_MODE)
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Make `path`, and every folder above it that is missing. Raises OSError."""
    missing = [path]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        try:
            folder.mkdir(FOLDER_MODE)
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            folder.chmod(FOLDER_MODE)


def exposed_files(path: Path, suffixes: tuple[str, ...] = ("", "-wal", "-shm")) -> Iterator[Path]:
    """Of the file and those that belong to it, which others than the owner may read or write; the
    folder where others may put files into it, and take these out.
    """
    if os.name != "posix":
        return
    path = path.resolve()
    for suffix in suffixes:
        file = path.with_name(path.name + suffix)
        if file.exists() and file.stat().st_mode & _OTHERS:
            yield file
    mode = path.parent.stat().st_mode
    if mode & _OTHERS_WRITE and not mode & stat.S_ISVTX:
        yield path.parent


def _set_mode(descriptor: int, path: Path, mode: int) -> None:
    """Where the umask took more away than it should."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    else:
        path.chmod(mode)
