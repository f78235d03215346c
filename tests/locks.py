"""The locks: what is installed, by version and by the hash of each file."""

import re
from pathlib import Path

from packaging.utils import canonicalize_name

FOLDER = Path(__file__).parents[1] / "locks"
_PINNED = re.compile(r"^([\w.-]+)==(\S+)")


def lock_text(name: str) -> str:
    """A lock as it is: `runtime`, `build`, `dev` or `docs`."""
    return (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def locked_versions(name: str) -> dict[str, str]:
    """Canonical name of each distribution of a lock -> its version."""
    pinned = (_PINNED.match(line) for line in lock_text(name).splitlines())
    return {canonicalize_name(match[1]): match[2] for match in pinned if match}
