"""What aiokafka warns of at every connection that it opens, said once a process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

AT_EVERY_CONNECTION: Final = frozenset({"Sending username and password in the clear"})
"""Of the configuration, not of the connection; `bridgectl check` warns of it, too."""


def first_of_each_connection_warning() -> Callable[[logging.LogRecord], bool]:
    """A filter of a logger. A process opens a connection or two for each partition, and again."""
    pending = set(AT_EVERY_CONNECTION)

    def is_new(record: logging.LogRecord) -> bool:
        message = str(record.msg)
        if message not in AT_EVERY_CONNECTION:
            return True
        is_first = message in pending
        pending.discard(message)
        return is_first

    return is_new
