"""The log and the registry that the configuration names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bridge.config import Config, LogTarget
from bridge.config.secrets import resolve_references
from bridge.log.port import Log
from bridge.model.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.log.registry.remembered import RememberedRegistry, VerifiableRegistry


def make_log(config: Config, target: LogTarget | None = None) -> Log:
    """The event log (not opened). Imports nothing of the one that isn't configured."""
    target = target or config.log
    if target.kafka is None:
        from bridge.log.embedded import EmbeddedLog

        if target.path is None:
            raise ConfigurationError(f"{config.file}: no log is configured")
        if target.partitions is None:
            return EmbeddedLog(target.path)
        return EmbeddedLog(target.path, partitions=target.partitions)
    try:
        from bridge.log.kafka import KafkaLog
        from bridge.log.kafka.settings import KafkaSettings, Security
    except ImportError as error:
        raise ConfigurationError(
            f"{config.file}: the log is Kafka, which needs {error.name}: "
            "pip install 'legacy-bridge[kafka]'"
        ) from error
    model, folder = target.kafka, config.folder
    security = model.security
    password = target.secrets.get("security.password")
    return KafkaLog(
        KafkaSettings(
            servers=tuple(model.servers),
            security=Security(
                protocol=security.protocol,
                mechanism=security.mechanism,
                username=security.username,
                password=password.reveal() if password else "",
                ca=str(folder / security.ca) if security.ca else "",
                certificate=str(folder / security.certificate) if security.certificate else "",
                private_key=str(folder / security.private_key) if security.private_key else "",
            ),
            partitions=model.partitions,
            replication=model.replication,
            min_insync=model.min_insync,
        ),
        lambda: resolve_references(security.password, os.environ, folder).reveal(),
    )


def make_registry(
    config: Config, log: Log, target: LogTarget | None = None
) -> RememberedRegistry | VerifiableRegistry:
    """The schema registry (not opened): the one over HTTP where configured, else embedded. On
    Kafka the log remembers its ids.
    """
    target = target or config.log
    registry = make_bare_registry(config, log, target)
    if target.kafka is None:
        # In the same file as the records: the one can't be lost without the other.
        return registry
    from bridge.log.registry.remembered import RememberedRegistry

    return RememberedRegistry(registry, log, config.bridge)


def make_bare_registry(
    config: Config, log: Log, target: LogTarget | None = None
) -> VerifiableRegistry:
    """The registry without the log's memory of it."""
    target = target or config.log
    model = target.kafka.registry if target.kafka is not None else None
    if model is None:
        from bridge.log.registry.embedded import EmbeddedRegistry

        return EmbeddedRegistry(log, config.bridge)
    from bridge.log.registry.http import HttpRegistry

    password = target.secrets.get("registry.password")
    return HttpRegistry(
        model.url,
        username=model.username,
        password=password.reveal() if password else "",
        tls=target.registry_tls,
        read_password=lambda: resolve_references(
            model.password, os.environ, config.folder
        ).reveal(),
    )
