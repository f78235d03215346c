"""Absolute paths, independent of the current folder."""

from __future__ import annotations

from pathlib import Path

from bridge.config.problems import ConfigProblems, Problem


def absolute_path(path: Path) -> Path:
    """`path` relative to the current folder, as absolute. Raises ConfigProblems if that folder was
    deleted or replaced.
    """
    try:
        return path.absolute()
    except OSError as error:
        what = f"the folder that bridgectl was started in can't be found: {error.strerror}"
        problem = Problem(str(path), 0, "", what, "change into it again")
        raise ConfigProblems([problem]) from error
