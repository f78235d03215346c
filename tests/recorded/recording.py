"""The files of the recording."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "files"
#: A bridge's whole folder after `first_life`, as commit b37de27 left it.
ARCHIVE = FILES / "first_life.tar.xz"
#: What was in its log and in its legacy database after `second_life` by the same commit.
CONTENT = FILES / "after_second_life.json"


def unpack(folder: Path) -> Path:
    """A copy of the recorded folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def recorded_content() -> dict[str, Any]:
    """What the recording commit had in the end."""
    content: dict[str, Any] = json.loads(CONTENT.read_text(encoding="utf-8"))
    return content
