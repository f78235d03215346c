"""How many requests a call to a connector took, for limits that count requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestCount:
    """sent: requests that the system was sent so far; 0 also where the connector counts none."""

    sent: int = 0


_COUNT: ContextVar[RequestCount | None] = ContextVar("request_count", default=None)


def request_sent() -> None:
    """For connectors whose calls may take several requests: call this before each is sent, in the
    task of the call or in one that it began.
    """
    count = _COUNT.get()
    if count is not None:
        count.sent += 1


@contextmanager
def counting_requests() -> Iterator[RequestCount]:
    """Counts the requests that are sent inside, whatever else runs at the same time."""
    count = RequestCount()
    token = _COUNT.set(count)
    try:
        yield count
    finally:
        _COUNT.reset(token)
