"""Creates files and folders that only their owner may read, from their creation on.

What the bridge stores is business data. The umask has no influence: files are 0600 and folders
0700. Existing ones keep their mode, which may be deliberate; `bridgectl check` warns about it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ROOT: Final = 0


def make_private_file(path: Path) -> None:
    """Create `path`, empty, unless it exists; of a link, its target. Raises OSError."""
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
    """Create `path` and its missing parents. Raises OSError."""
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
    """Those of the file and its companions that users other than the owner may read or write; also
    the folder, if others may create or remove files in it.
    """
    if os.name != "posix":
        return
    path = path.resolve()
    for suffix in suffixes:
        file = path.with_name(path.name + suffix)
        if file.exists() and file.stat().st_mode & _OTHERS:
            yield file
    if others_write(path.parent.stat(), os.geteuid(), {os.getegid(), *os.getgroups()}):
        yield path.parent


def others_write(folder: os.stat_result, user: int, groups: Collection[int]) -> bool:
    """Whether users other than `user`, a member of `groups`, may create files in a folder. Pure.

    A group through which `user` itself has access doesn't count: volumes of Kubernetes belong to
    root and to the pod's group. Nor does root's group, to which containers of OpenShift belong.
    """
    mode = folder.st_mode
    if mode & stat.S_ISVTX:
        return False
    if mode & stat.S_IWOTH:
        return True
    needs_group = user not in (folder.st_uid, _ROOT) and folder.st_gid in groups
    return bool(mode & stat.S_IWGRP) and folder.st_gid != _ROOT and not needs_group


def _set_mode(descriptor: int, path: Path, mode: int) -> None:
    """Restore the bits that the umask removed."""
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    else:
        path.chmod(mode)
