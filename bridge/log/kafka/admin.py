"""One admin client of a cluster: what it is asked is asked again while that may help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka import errors as kafka
from aiokafka.admin import AIOKafkaAdminClient

from bridge.log.kafka.errors import translated_errors
from bridge.model.errors import RetryLater
from bridge.retry import RetryPolicy, retry

T = TypeVar("T")

#: Seconds in which a request is retried while the broker is busy or unavailable.
ASK_TIMEOUT_S = 10.0


def _may_pass(error: BaseException) -> bool:
    """Whether a retry may help: a coordinator is loading, a leader is moving."""
    return isinstance(error, kafka.KafkaError) and error.retriable


class KafkaAdmin:
    """Asks a cluster by a started client, which it closes.

    timeout_s: seconds in which a question is asked again
    """

    def __init__(self, client: AIOKafkaAdminClient, timeout_s: float) -> None:
        self.client = client
        self._policy = RetryPolicy(
            first_wait_s=0.05, give_up_after_s=min(timeout_s, ASK_TIMEOUT_S), may_pass=_may_pass
        )

    async def close(self) -> None:
        await self.client.close()

    async def ask(self, doing: str, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` returns. Raises the port's errors; `doing` says in them what was asked."""
        with translated_errors(doing):
            try:
                return await retry(call, self._policy)
            except (AttributeError, AssertionError) as error:
                # aiokafka's cluster data is empty while no broker answers.
                raise RetryLater(f"{doing}: no broker answers") from error
