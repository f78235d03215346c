"""The embedded log: one SQLite file, several processes, nothing to install."""

from bridge.log.embedded.log import EmbeddedLog
from bridge.log.embedded.url import from_url

__all__ = ["EmbeddedLog", "from_url"]
