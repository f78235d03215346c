"""How to reach a Kafka cluster, and the arguments of aiokafka's clients for it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.helpers import create_ssl_context

from bridge.model.errors import ConfigurationError
from bridge.model.redaction import register_login, register_secret

#: Bytes of key, value and headers that one record may have.
MAX_RECORD_BYTES: Final = 1_000_000
#: A broker's default `message.max.bytes`, which counts a batch of records with its overhead.
MAX_BATCH_BYTES: Final = 1_048_588
#: Milliseconds after which a transactional producer retries, because the broker is busy with the
#: last #: transaction for a few; other clients retry after aiokafka's 100.
BACKOFF_MS: Final = 20
CLIENT_ID: Final = "legacy-bridge"

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@dataclass(frozen=True, slots=True)
class Security:
    """How to log in. Files are PEM; `certificate` and `private_key` are this client's own."""

    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    private_key: str = ""
    private_key_password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Keep the login out of all messages."""
        register_login(self.username, self.password, "kafka")
        # SASL PLAIN sends them so.
        register_secret(
            f"\0{self.username}\0{self.password}" if self.password else "", "kafka sasl"
        )
        register_secret(self.private_key_password, "kafka private key")

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.protocol in {"SSL", "SASL_SSL"}

    @property
    def logs_in(self) -> bool:
        """Whether the connection asks for a user."""
        return self.protocol in {"SASL_PLAINTEXT", "SASL_SSL"}


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """A cluster, and how topics are created there.
    `partitions`: of topics that don't specify a number.
    `replication`: -1: the brokers' default.
    `min_insync`: None: the brokers' default.
    `timeout`: seconds after which an unanswered request counts as failed; an outage within that
    time only causes a wait.
    """

    servers: tuple[str, ...]
    security: Security = field(default_factory=Security)
    partitions: int = 6
    replication: int = -1
    min_insync: int | None = None
    timeout: float = 30.0

    def __post_init__(self) -> None:
        """Raises ConfigurationError that lists all problems."""
        wrong = list(_problems(self))
        if wrong:
            raise ConfigurationError(f"{self.name}: {'; '.join(wrong)}")

    @property
    def name(self) -> str:
        """`kafka://k1:9092,k2:9092`."""
        return f"kafka://{','.join(self.servers)}"


def _problems(settings: KafkaSettings) -> Iterator[str]:
    security = settings.security
    if not settings.servers:
        yield "servers: name at least one as host:port"
    for server in settings.servers:
        host, colon, port = server.rpartition(":")
        if not host or not colon or not port.isdecimal():
            yield f"servers: {server!r} is not host:port"
    if not (security.encrypted or security.logs_in or security.protocol == "PLAINTEXT"):
        yield "security.protocol: use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    if security.logs_in:
        if security.mechanism not in MECHANISMS:
            yield f"security.mechanism: {security.protocol} needs one of {', '.join(MECHANISMS)}"
        if not security.username or not security.password:
            yield f"security.username and security.password: {security.protocol} needs both"
    elif security.username or security.password:
        yield f"security.username: {security.protocol} does not log in; use SASL_SSL"
    if bool(security.certificate) != bool(security.private_key):
        yield "security.certificate and security.private_key: set both or neither"


def _tls(security: Security) -> ssl.SSLContext:
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=security.ca or None,
            certfile=security.certificate or None,
            keyfile=security.private_key or None,
            password=security.private_key_password or None,
        )
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(
            f"{name} {path!r}"
            for name, path in (
                ("ca", security.ca),
                ("certificate", security.certificate),
                ("private_key", security.private_key),
            )
            if path
        )
        raise ConfigurationError(
            f"security: {files or 'the certificates'} can't be used: {error}"
        ) from error
    return context


def client_arguments(settings: KafkaSettings) -> dict[str, Any]:
    """The arguments of every aiokafka client. Raises ConfigurationError for unusable files."""
    security = settings.security
    arguments: dict[str, Any] = {
        "bootstrap_servers": list(settings.servers),
        "client_id": CLIENT_ID,
        "security_protocol": security.protocol,
    }
    if security.encrypted:
        arguments["ssl_context"] = _tls(security)
    if security.logs_in:
        arguments["sasl_mechanism"] = security.mechanism
        arguments["sasl_plain_username"] = security.username
        arguments["sasl_plain_password"] = security.password
    return arguments
