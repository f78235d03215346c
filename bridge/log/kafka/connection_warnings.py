"""aiokafka's warnings about every connection, reduced to once per process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

AT_EVERY_CONNECTION: Final = frozenset({"Sending username and password in the clear"})
"""About the configuration, not the connection; `bridgectl check` warns about it, too."""


def first_of_each_connection_warning() -> Callable[[logging.LogRecord], bool]:
    """A logger's filter. A process opens a connection or two per partition, repeatedly."""
    pending = set(AT_EVERY_CONNECTION)

    def is_new(record: logging.LogRecord) -> bool:
        message = str(record.msg)
        if message not in AT_EVERY_CONNECTION:
            return True
        is_first = message in pending
        pending.discard(message)
        return is_first

    return is_new
