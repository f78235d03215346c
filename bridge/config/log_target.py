"""The log that a configuration names, by URL or mapping: the embedded one or Kafka."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError

from bridge.config.clear_secrets import clear_secret_problems, hide_secrets
from bridge.config.collector import Collector
from bridge.config.document import Document, KeyPath
from bridge.config.models import BridgeModel, KafkaModel, LogModel, RegistryModel
from bridge.config.problems import ConfigProblems
from bridge.config.secrets import Secret
from bridge.config.tls_section import tls_files
from bridge.model.loopback import is_loopback
from bridge.tls import TlsFiles

OF_LOOPBACK = ", unless it stays on this machine (127.0.0.0/8, ::1, localhost)"


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A log: the `path` of the embedded one, or the `kafka` settings with their secrets."""

    path: Path | None = None
    partitions: int | None = None
    kafka: KafkaModel | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    registry_tls: TlsFiles | None = None


def log_target(text: str, folder: Path) -> LogTarget:
    """The log that a URL names, as `log:` in the bridge's file would. Raises ConfigProblems."""
    collector = Collector(os.environ)
    document = Document("log", None)
    collector.problems.extend(clear_secret_problems(document, text))
    target = _log_url(collector, document, text, folder)
    if collector.problems:
        raise ConfigProblems(collector.problems)
    return target


def log_of(collector: Collector, document: Document, model: BridgeModel, folder: Path) -> LogTarget:
    """The log that the bridge's file names; problems are added to the collector."""
    if isinstance(model.log, str):
        return _log_url(collector, document, model.log, folder)
    return _log_mapping(collector, document, model.log, folder)


def _log_url(collector: Collector, document: Document, text: str, folder: Path) -> LogTarget:
    hint = "sqlite:///var/bridge.db or kafka://host:9092?registry=http://registry:8080/..."
    scheme, mark, path = text.partition(":///")
    if scheme == "sqlite" and mark and path:
        return _embedded_url(collector, document, path, folder)
    try:
        parts = urlsplit(text)
    except ValueError:
        # Its message may quote what is before the host, a password among it.
        what = f"{hide_secrets(text)!r} is not a log: its host or port can't be read"
        collector.problems.append(document.problem(("log",), what, hint))
        return LogTarget()
    if parts.scheme == "kafka" and parts.netloc and "@" not in parts.netloc:
        query = dict(parse_qsl(parts.query))
        registry = query.pop("registry", None)
        data: dict[str, Any] = {"servers": parts.netloc.split(","), **query}
        if registry:
            data["registry"] = {"url": registry}
        try:
            return _kafka(collector, document, KafkaModel.model_validate(data), ("log",), folder)
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                what = f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
                collector.problems.append(document.problem(("log",), what, hint))
            return LogTarget()
    what = f"{hide_secrets(text)!r} is not a log"
    if "@" in parts.netloc:
        what, hint = (
            "the log's URL holds a login",
            "use the long form: log: {kafka: {security: ..}}",
        )
    collector.problems.append(document.problem(("log",), what, hint))
    return LogTarget()


def _embedded_url(collector: Collector, document: Document, path: str, folder: Path) -> LogTarget:
    """The path as written: a `#` is part of the file's name, and a `?` is ambiguous."""
    if "?" in path:
        what = f"the embedded log's URL takes no parameters: {path!r}"
        hint = "a file whose name has a question mark is log: {sqlite: PATH}"
        collector.problems.append(document.problem(("log",), what, hint))
        return LogTarget()
    return LogTarget(path=folder / path)


def _log_mapping(
    collector: Collector, document: Document, model: LogModel, folder: Path
) -> LogTarget:
    if (model.kafka is None) == (model.sqlite is None):
        problem = document.problem(("log",), "needs exactly one of kafka: and sqlite:")
        collector.problems.append(problem)
        return LogTarget()
    if model.kafka is not None:
        return _kafka(collector, document, model.kafka, ("log", "kafka"), folder)
    assert model.sqlite is not None  # noqa: S101 - just checked
    return LogTarget(path=folder / model.sqlite, partitions=model.partitions)


def _kafka(
    collector: Collector, document: Document, model: KafkaModel, where: KeyPath, folder: Path
) -> LogTarget:
    secrets: dict[str, Secret] = {}
    texts = {"security.password": model.security.password}
    registry_tls = None
    if model.registry is not None:
        texts["registry.password"] = model.registry.password
        _check_registry(collector, document, model.registry, where)
        here = (*where, "registry", "tls")
        registry_tls = tls_files(collector, document, model.registry.tls, here, folder)
    if model.security.protocol == "SASL_PLAINTEXT":
        _warn_of_plain_servers(collector, document, model.servers, where)
    for name, text in texts.items():
        key_path = (*where, *name.split("."))
        if text:
            secrets[name] = collector.secret(document, key_path, text, folder)
    return LogTarget(kafka=model, secrets=secrets, registry_tls=registry_tls)


def _check_registry(
    collector: Collector, document: Document, model: RegistryModel, where: KeyPath
) -> None:
    here = (*where, "registry", "url")
    parts = urlsplit(model.url)
    if "@" in parts.netloc or parts.query or "${" in model.url:
        what = "the address of a registry takes no login, no query and no reference"
        hint = "write username: and password: ${env:NAME} beside it"
        collector.problems.append(document.problem(here, what, hint))
    elif model.username and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        what = f"the login of {model.username!r} goes to {parts.hostname} over plain http"
        hint = f"use https://; anybody on the network path can read the password{OF_LOOPBACK}"
        collector.warnings.append(document.problem(here, what, hint))


def _warn_of_plain_servers(
    collector: Collector, document: Document, servers: Iterable[str], where: KeyPath
) -> None:
    away = [server for server in servers if not is_loopback(server.rpartition(":")[0])]
    if away:
        what = f"SASL_PLAINTEXT sends the login unencrypted, to {', '.join(away)}"
        hint = f"use SASL_SSL, with `ca` where the authority is the company's own{OF_LOOPBACK}"
        collector.warnings.append(document.problem((*where, "security", "protocol"), what, hint))
