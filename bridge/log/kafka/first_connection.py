"""The first connection: raises why it fails, which aiokafka only logs."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError

from bridge.log.kafka.errors import MISCONFIGURED, reason
from bridge.log.kafka.settings import KafkaSettings
from bridge.model.errors import ConfigurationError, RetryLater

#: Seconds that one server may take to accept and log in.
CONNECT_TIMEOUT_S = 10.0


async def check_connection(settings: KafkaSettings, arguments: dict[str, Any]) -> None:
    """Connect and log in to the first server that answers.

    Raises ConfigurationError if a server refuses the settings, RetryLater if none answers.
    """
    wanted = {name: value for name, value in arguments.items() if name != "bootstrap_servers"}
    away = []
    for server in settings.servers:
        host, _, port = server.rpartition(":")
        connection = AIOKafkaConnection(
            host.strip("[]"), int(port), request_timeout_ms=int(CONNECT_TIMEOUT_S * 1000), **wanted
        )
        try:
            await connection.connect()
        except MISCONFIGURED as error:
            raise ConfigurationError(f"{server}: {reason(error)}") from error
        except (KafkaError, OSError, ValueError) as error:
            away.append(f"{server}: {_why(settings, error)}")
        else:
            return
        finally:
            # TLS has a closing handshake; don't wait for a server that doesn't answer it.
            await asyncio.wait([connection.close()], timeout=0.5)
    raise RetryLater(f"no Kafka server answers: {'; '.join(away)}")


def _why(settings: KafkaSettings, error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time; is its protocol the one of security.protocol?"
    if isinstance(error, (ssl.SSLError, ConnectionResetError)) and settings.security.encrypted:
        return f"{reason(error)}; does it speak TLS, as {settings.security.protocol} asks for?"
    return reason(error)
