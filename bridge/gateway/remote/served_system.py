"""One system as its owner reads it for clients: admitted by class and deadline, within its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from bridge.connector import Reader, Rows, Visibility, counting_requests, until_deadline
from bridge.gateway.limiter import Limiter
from bridge.gateway.remote.messages import SentAsk, Welcome
from bridge.model.errors import Rejected, RetryLater, SystemBusy


def _always() -> None:
    """Without a lease nobody else may own the system."""


@dataclass(frozen=True, slots=True)
class ServedSystem:
    """What clients of one system get.

    bridge, name: of the bridge and of the system.
    reader, limiter: of this process.
    tables: names of the tables that may be read; others are refused.
    instance, generation: of this owner.
    dump_visibility: the connector's text of a visibility; None: it has none, and none is sent.
    check_owner: raises RetryLater once this process may no longer own the system. Called before a
    question waits, and before it is sent.
    """

    bridge: str
    name: str
    reader: Reader
    limiter: Limiter
    tables: frozenset[str]
    instance: str
    generation: int = 0
    dump_visibility: Callable[[Visibility], str] | None = None
    check_owner: Callable[[], None] = _always

    def welcome(self, max_requests: int) -> Welcome:
        """What a client hears first."""
        return Welcome(
            self.instance,
            self.generation,
            self.reader.max_keys,
            self.reader.features,
            max_requests,
        )

    async def read(self, sent: SentAsk) -> Rows:
        """The rows that answer a client. Raises as a Reader; DeadlineExceeded at the deadline,
        RetryLater if this process may no longer ask. May be cancelled.
        """
        ask = sent.ask
        if ask.table not in self.tables:
            raise Rejected(
                "unknown_table", f"the gateway of system {self.name!r} has no table {ask.table!r}"
            )
        self.check_owner()
        deadline = inf if ask.deadline is None else ask.deadline
        query = await self.limiter.acquire(sent.work, deadline, sheddable=ask.deadline is not None)
        try:
            # The wait may have been long.
            self.check_owner()
            with counting_requests() as requests:
                try:
                    async with until_deadline(ask, f"system {self.name!r}: reading"):
                        answer = await self.reader.fetch(ask)
                finally:
                    self.limiter.used(requests=requests.sent, query=query)
        except RetryLater as error:
            if error.after is not None:
                self.limiter.throttle(error.after, str(error))
            elif isinstance(error, SystemBusy):
                self.limiter.system_refused(query)
            raise
        else:
            self.limiter.used(rows=len(answer.rows), query=query)
            return answer
        finally:
            self.limiter.release(query)
