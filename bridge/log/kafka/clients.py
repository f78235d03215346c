"""Creates and starts aiokafka's clients of one cluster, which log in with the newest password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient

from bridge.log.kafka import internals
from bridge.log.kafka.errors import translated_errors
from bridge.log.kafka.password import CurrentPassword
from bridge.log.kafka.settings import MAX_BATCH_BYTES, KafkaSettings, client_arguments

#: Seconds that a rebalance waits for busy members.
REBALANCE_TIMEOUT_S: Final = 30.0


class KafkaClients:
    """Creates the clients of one log, each with its own connections, as the protocol requires.

    `arguments`: those of every client, once `prepare` has read them.
    """

    def __init__(self, settings: KafkaSettings, read_password: Callable[[], str] | None) -> None:
        self.arguments: dict[str, Any] = {}
        self._settings = settings
        self._password: CurrentPassword | None = None
        if settings.security.logs_in and read_password is not None:
            self._password = CurrentPassword(settings.security.username, read_password)

    @property
    def timeout_s(self) -> float:
        """Seconds within which the broker has to respond."""
        return self._settings.timeout

    def prepare(self) -> dict[str, Any]:
        """Read what every client needs, certificates included. Raises ConfigurationError."""
        self.arguments = client_arguments(self._settings)
        return self.arguments

    def keep_password(self) -> None:
        """Keep the password of all clients up to date from now on."""
        if self._password is not None:
            self._password.start(self.arguments)

    async def close(self) -> None:
        """Stop watching for a new password; the clients are closed by whoever started them."""
        if self._password is not None:
            await self._password.stop()

    def admin(self) -> AIOKafkaAdminClient:
        """A client for topics and groups; not started."""
        return AIOKafkaAdminClient(**self.arguments, request_timeout_ms=self._timeout_ms)

    def consumer(self, group: str | None, **arguments: Any) -> aiokafka.AIOKafkaConsumer:
        """A consumer of committed records, without a group if that is None; not started."""
        client = aiokafka.AIOKafkaConsumer(
            **{"isolation_level": "read_committed", **self.arguments, **arguments},
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            # A request that waits for data delays seeks and resumed partitions.
            fetch_max_wait_ms=100,
            fetch_max_bytes=16 * 1024 * 1024,
            # Longer than a rebalance, during which the broker delays its response.
            request_timeout_ms=int(max(self._settings.timeout, REBALANCE_TIMEOUT_S + 10) * 1000),
            metadata_max_age_ms=30_000,
        )
        self.follow_password(client)
        return client

    def producer(self, **arguments: Any) -> aiokafka.AIOKafkaProducer:
        """A producer; not started."""
        client = aiokafka.AIOKafkaProducer(
            **self.arguments,
            **arguments,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_BATCH_BYTES,
            request_timeout_ms=self._timeout_ms,
        )
        self.follow_password(client)
        return internals.forgiving(client)

    async def start(self, client: Any, doing: str) -> None:
        """Connect a consumer or a producer; on failure close it. Raises the port's errors."""
        with translated_errors(doing):
            try:
                async with asyncio.timeout(self._settings.timeout):
                    await client.start()
            except BaseException:
                if isinstance(client, aiokafka.AIOKafkaProducer):
                    await internals.kill(client)
                else:
                    await internals.stop(client)
                raise

    def follow_password(self, client: Any) -> None:
        """Give this client every later password."""
        if self._password is not None:
            self._password.add(client)

    @property
    def _timeout_ms(self) -> int:
        return int(self._settings.timeout * 1000)
