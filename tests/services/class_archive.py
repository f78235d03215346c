"""Java's classes, kept loaded and verified in a file beside the program: a server whose classes are
mapped from there starts in half of the processor's time. `make services` writes the files; without
one, or after a change of Java, a server starts as ever.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.services.server import ManagedService


def archive_of(folder: Path) -> Path | None:
    """The archive of the program in `folder` for the installed Java; None where that doesn't say which
    one it is.
    """
    java = shutil.which("java")
    if java is None:
        return None
    release = Path(java).resolve().parents[1] / "release"
    if not release.is_file():
        return None
    digest = hashlib.sha256(release.read_bytes()).hexdigest()
    return folder.with_name(f"{folder.name}-{digest[:12]}.jsa")


def use_archive(folder: Path) -> tuple[str, ...]:
    """Options of Java that map the archive, if there is one."""
    archive = archive_of(folder)
    if archive is None or not archive.is_file():
        return ()
    return (f"-XX:SharedArchiveFile={archive}",)


def install_archive(folder: Path, start: Callable[[str], ManagedService]) -> None:
    """Write the archive, if there is none: `start` runs the program with one more option of Java."""
    archive = archive_of(folder)
    if archive is None or archive.is_file():
        return
    with TemporaryDirectory(dir=folder.parent) as scratch:
        new_archive = Path(scratch) / archive.name
        with start(f"-XX:ArchiveClassesAtExit={new_archive}") as server:
            server.shut_down(seconds=120)  # it writes the archive at its end
        new_archive.rename(archive)
