"""The embedded log by its URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.log.embedded.log import EmbeddedLog
from bridge.model.errors import ConfigurationError

SCHEME = "sqlite:///"


def from_url(url: str, **options: Any) -> EmbeddedLog:
    """The log of `sqlite:///relative.db` or `sqlite:////absolute.db`, not opened yet."""
    if not url.startswith(SCHEME) or len(url) == len(SCHEME):
        raise ConfigurationError(
            f"{url!r} is not the address of an embedded log: write sqlite:///var/bridge.db "
            "(relative) or sqlite:////var/lib/bridge.db (absolute)"
        )
    return EmbeddedLog(Path(url.removeprefix(SCHEME)), **options)
