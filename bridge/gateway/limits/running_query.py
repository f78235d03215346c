"""A query that runs on a connection of the limiter's, and what it has used so far."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf

from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.limits.ceiling import Admission


@dataclass(eq=False, slots=True)
class RunningQuery:
    """One connection, and the query that runs on it; made by `Limiter.acquire`.

    admission: of the query that runs now.
    work, deadline: as it was acquired; its further queries start as the same.
    rows: of the answers that came, since the last start.
    requests: that the connector sent to answer it, where it counted them; 0: it didn't.
    """

    admission: Admission
    work: WorkClass
    deadline: float = inf
    rows: int = field(default=0, init=False)
    requests: int = field(default=0, init=False)


CURRENT_QUERY: ContextVar[RunningQuery] = ContextVar("current_query")
"""The query that the current task runs, and the tasks that it has begun since."""
