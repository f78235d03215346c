"""Loading: from the bridge file to everything that it declares, or every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

from bridge.config.convert import duration_ms, system_problems, system_spec
from bridge.config.document import Document, Path_, read
from bridge.config.models import BridgeModel, KafkaModel, LogModel, SystemModel
from bridge.config.problems import ConfigProblems, Problem
from bridge.config.secrets import Secret, bad_reference, literal_password, resolve, shown
from bridge.model.declare import SystemSpec
from bridge.model.errors import ConfigurationError

M = TypeVar("M", bound=BaseModel)

DEFAULT_FILE = "bridge.yaml"


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Which log: `path` of the embedded one, or the `kafka` settings with their secrets."""

    path: Path | None = None
    partitions: int | None = None
    kafka: KafkaModel | None = None
    secrets: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """One system: its declarations, its resolved secrets, and where it was declared."""

    spec: SystemSpec
    url: Secret
    shown_url: str
    mask_key: Secret | None
    capture: Mapping[str, Any] = field(repr=False)
    document: Document = field(repr=False)
    folder: Path = field(repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the files declare."""

    bridge: str
    log: LogTarget
    systems: tuple[SystemConfig, ...]
    agents: tuple[str, ...]
    history_ms: int
    max_record_bytes: int
    folder: Path
    file: str


class _Loader:
    """One pass over the files, collecting problems."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.problems: list[Problem] = []

    def model(self, document: Document, kind: type[M]) -> M | None:
        if not isinstance(document.data, dict):
            self.problems.append(document.problem((), "is empty or not a mapping"))
            return None
        try:
            return kind.model_validate(document.data)
        except ValidationError as error:
            self.problems.extend(
                _problem(document, item)
                for item in error.errors(
                    include_input=False, include_url=False, include_context=False
                )
            )
            return None

    def secret(self, document: Document, where: Path_, text: str, folder: Path) -> Secret:
        """A text with its references looked up; a problem (and an empty secret) otherwise."""
        try:
            return resolve(text, self.environ, folder)
        except ConfigurationError as error:
            self.problems.append(document.problem(where, str(error)))
            return Secret("")


def _problem(document: Document, error: Any) -> Problem:
    where = tuple(part for part in error["loc"] if part not in ("str", "LogModel"))
    message = error["msg"].removeprefix("Value error, ")
    hint = ""
    if error["type"] == "extra_forbidden":
        message, hint = f"{where[-1]!r} is not known here", "see `bridgectl schema config`"
    elif error["type"] == "missing":
        message = f"{where[-1]!r} is missing"
    elif error["type"] == "string_pattern_mismatch":
        hint = "lower-case letters, digits and underscores, beginning with a letter"
        if where and where[-1] == "history":
            hint = "a number and s, m, h or d: 30d"
    return document.problem(where, message, hint)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Load `path` and every file that it names. Raises ConfigProblems with all problems."""
    loader = _Loader(os.environ if environ is None else environ)
    path = path.absolute()
    folder = path.parent
    document = read(path, path.name)
    model = loader.model(document, BridgeModel)
    if model is None:
        raise ConfigProblems(loader.problems)
    target = _log(loader, document, model, folder)
    systems = _systems(loader, document, model, folder)
    agents = tuple(_agents(loader, document, model, folder))
    if loader.problems:
        raise ConfigProblems(loader.problems)
    return Config(
        bridge=model.bridge,
        log=target,
        systems=tuple(systems),
        agents=agents,
        history_ms=duration_ms(model.history),
        max_record_bytes=model.max_record_bytes,
        folder=folder,
        file=document.file,
    )


def log_target(text: str, folder: Path) -> LogTarget:
    """The log that a URL names, as `log:` in the bridge's file would. Raises ConfigProblems."""
    loader = _Loader(os.environ)
    target = _log_url(loader, Document("log", None), text, folder)
    if loader.problems:
        raise ConfigProblems(loader.problems)
    return target


def _log(loader: _Loader, document: Document, model: BridgeModel, folder: Path) -> LogTarget:
    if isinstance(model.log, str):
        return _log_url(loader, document, model.log, folder)
    return _log_mapping(loader, document, model.log, folder)


def _log_url(loader: _Loader, document: Document, text: str, folder: Path) -> LogTarget:
    hint = "sqlite:///var/bridge.db or kafka://host:9092?registry=http://registry:8080/..."
    parts = urlsplit(text)
    if parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return LogTarget(path=folder / parts.path[1:])
    if parts.scheme == "kafka" and parts.netloc and "@" not in parts.netloc:
        query = dict(parse_qsl(parts.query))
        registry = query.pop("registry", None)
        data: dict[str, Any] = {"servers": parts.netloc.split(","), **query}
        if registry:
            data["registry"] = {"url": registry}
        try:
            return _kafka(loader, document, KafkaModel.model_validate(data), ("log",), folder)
        except ValidationError as error:
            for item in error.errors(include_input=False, include_url=False):
                what = f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
                loader.problems.append(document.problem(("log",), what, hint))
            return LogTarget()
    what = f"{shown(text)!r} is not a log"
    if "@" in parts.netloc:
        what, hint = (
            "the log's URL holds a login",
            "use the long form: log: {kafka: {security: ..}}",
        )
    loader.problems.append(document.problem(("log",), what, hint))
    return LogTarget()


def _log_mapping(loader: _Loader, document: Document, model: LogModel, folder: Path) -> LogTarget:
    if (model.kafka is None) == (model.sqlite is None):
        problem = document.problem(("log",), "needs exactly one of kafka: and sqlite:")
        loader.problems.append(problem)
        return LogTarget()
    if model.kafka is not None:
        return _kafka(loader, document, model.kafka, ("log", "kafka"), folder)
    assert model.sqlite is not None  # noqa: S101 - just checked
    return LogTarget(path=folder / model.sqlite, partitions=model.partitions)


def _kafka(
    loader: _Loader, document: Document, model: KafkaModel, where: Path_, folder: Path
) -> LogTarget:
    secrets: dict[str, Secret] = {}
    texts = {"security.password": model.security.password}
    if model.registry is not None:
        texts["registry.password"] = model.registry.password
        if literal_password(model.registry.url):
            loader.problems.append(
                document.problem(
                    (*where, "registry"),
                    "the registry's URL holds a password",
                    "write username: and password: ${env:NAME}",
                )
            )
    for name, text in texts.items():
        if text:
            secrets[name] = loader.secret(document, (*where, *name.split(".")), text, folder)
    return LogTarget(kafka=model, secrets=secrets)


def _paths(patterns: Iterable[str], folder: Path) -> Iterable[tuple[int, str, list[Path]]]:
    for index, pattern in enumerate(patterns):
        if any(letter in pattern for letter in "*?["):
            found = sorted(folder.glob(pattern)) if not Path(pattern).is_absolute() else []
            yield index, pattern, found
        else:
            path = folder / pattern
            yield index, pattern, [path] if path.is_file() else []


def _systems(
    loader: _Loader, document: Document, model: BridgeModel, folder: Path
) -> list[SystemConfig]:
    systems: list[SystemConfig] = []
    seen: dict[str, str] = {}
    for _, pattern, paths in _paths(model.systems, folder):
        if not paths:
            loader.problems.append(
                document.problem(
                    ("systems",),
                    f"no file matches {pattern!r}",
                    f"looked in the folder of {document.file}",
                )
            )
        for path in paths:
            system = _system(loader, path, folder)
            if system is None:
                continue
            if (other := seen.get(system.spec.name)) is not None:
                what = f"system {system.spec.name!r} is declared in {other} already"
                loader.problems.append(system.document.problem(("system",), what))
            seen[system.spec.name] = system.document.file
            systems.append(system)
    return systems


def _system(loader: _Loader, path: Path, folder: Path) -> SystemConfig | None:
    try:
        document = read(path, os.path.relpath(path, folder))
    except ConfigProblems as error:
        loader.problems.extend(error.problems)
        return None
    model = loader.model(document, SystemModel)
    if model is None:
        return None
    loader.problems.extend(system_problems(document, model))
    if literal_password(model.url):
        loader.problems.append(
            document.problem(
                ("url",), "holds a password in clear", "write it by reference: ${env:NAME}"
            )
        )
    mask_key: Secret | None = None
    if model.mask_key:
        mask_key = loader.secret(document, ("mask_key",), model.mask_key, path.parent)
        if not bad_reference(model.mask_key) and "${" not in model.mask_key:
            loader.problems.append(
                document.problem(
                    ("mask_key",), "holds the key in clear", "write it by reference: ${env:NAME}"
                )
            )
    return SystemConfig(
        spec=system_spec(model),
        url=loader.secret(document, ("url",), model.url, path.parent),
        shown_url=shown(model.url),
        mask_key=mask_key,
        capture=model.capture,
        document=document,
        folder=path.parent,
    )


def _agents(loader: _Loader, document: Document, model: BridgeModel, folder: Path) -> Iterable[str]:
    for pattern in model.agents:
        if ":" in pattern and not pattern.endswith(".py"):
            yield pattern
            continue
        found = next(paths for _, _, paths in _paths([pattern], folder))
        if not found:
            loader.problems.append(
                document.problem(
                    ("agents",),
                    f"no file matches {pattern!r}",
                    "name files relative to this one, or package.module:name",
                )
            )
        for path in found:
            yield str(path)


def options(system: SystemConfig, kind: type[M], environ: Mapping[str, str] | None = None) -> M:
    """The `capture:` mapping as the connector's own model, secrets looked up.

    Raises ConfigProblems that name file and line.
    """
    loader = _Loader(os.environ if environ is None else environ)

    def put(value: Any, where: Path_) -> Any:
        if isinstance(value, str) and "${" in value:
            return loader.secret(system.document, where, value, system.folder).reveal()
        if isinstance(value, dict):
            return {name: put(item, (*where, name)) for name, item in value.items()}
        return value

    found: M | None = None
    try:
        found = kind.model_validate(put(dict(system.capture), ("capture",)))
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            moved = {**item, "loc": ("capture", *item["loc"])}
            loader.problems.append(_problem(system.document, moved))
    if loader.problems or found is None:
        raise ConfigProblems(loader.problems)
    return found
