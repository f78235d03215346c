"""Loading: from the bridge file to everything that it declares, or every problem at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.config.collect import Collector
from bridge.config.convert import duration_ms, system_problems, system_spec
from bridge.config.document import Document, read
from bridge.config.models import BridgeModel, SystemModel
from bridge.config.problems import ConfigProblems
from bridge.config.secrets import Secret, bad_reference, literal_password, shown
from bridge.config.target import LogTarget, log_of
from bridge.model.declare import SystemSpec


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
    login: Mapping[str, Any] = field(default_factory=dict, repr=False)


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


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Load `path` and every file that it names. Raises ConfigProblems with all problems."""
    collector = Collector(os.environ if environ is None else environ)
    path = path.absolute()
    folder = path.parent
    hint = f"looked in {folder}; another file is named by -c FILE or BRIDGE_CONFIG"
    document = read(path, path.name, hint)
    model = collector.model(document, BridgeModel)
    if model is None:
        raise ConfigProblems(collector.problems)
    target = log_of(collector, document, model, folder)
    systems = _systems(collector, document, model, folder)
    agents = tuple(_agents(collector, document, model, folder))
    if collector.problems:
        raise ConfigProblems(collector.problems)
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


def _paths(patterns: Iterable[str], folder: Path) -> Iterable[tuple[int, str, list[Path]]]:
    for index, pattern in enumerate(patterns):
        if any(letter in pattern for letter in "*?["):
            found = sorted(folder.glob(pattern)) if not Path(pattern).is_absolute() else []
            yield index, pattern, found
        else:
            path = folder / pattern
            yield index, pattern, [path] if path.is_file() else []


def _systems(
    collector: Collector, document: Document, model: BridgeModel, folder: Path
) -> list[SystemConfig]:
    systems: list[SystemConfig] = []
    seen: dict[str, str] = {}
    for _, pattern, paths in _paths(model.systems, folder):
        if not paths:
            collector.problems.append(
                document.problem(
                    ("systems",),
                    f"no file matches {pattern!r}",
                    f"looked in the folder of {document.file}",
                )
            )
        for path in paths:
            system = _system(collector, path, folder)
            if system is None:
                continue
            if (other := seen.get(system.spec.name)) is not None:
                what = f"system {system.spec.name!r} is declared in {other} already"
                collector.problems.append(system.document.problem(("system",), what))
            seen[system.spec.name] = system.document.file
            systems.append(system)
    return systems


def _system(collector: Collector, path: Path, folder: Path) -> SystemConfig | None:
    try:
        document = read(path, os.path.relpath(path, folder))
    except ConfigProblems as error:
        collector.problems.extend(error.problems)
        return None
    model = collector.model(document, SystemModel)
    if model is None:
        return None
    collector.problems.extend(system_problems(document, model))
    if literal_password(model.url):
        collector.problems.append(
            document.problem(
                ("url",), "holds a password in clear", "write it by reference: ${env:NAME}"
            )
        )
    mask_key: Secret | None = None
    if model.mask_key:
        mask_key = collector.secret(document, ("mask_key",), model.mask_key, path.parent)
        if not bad_reference(model.mask_key) and "${" not in model.mask_key:
            collector.problems.append(
                document.problem(
                    ("mask_key",), "holds the key in clear", "write it by reference: ${env:NAME}"
                )
            )
    return SystemConfig(
        spec=system_spec(model),
        url=collector.secret(document, ("url",), model.url, path.parent),
        shown_url=shown(model.url),
        mask_key=mask_key,
        capture=model.capture,
        document=document,
        folder=path.parent,
        login=model.login,
    )


def _agents(
    collector: Collector, document: Document, model: BridgeModel, folder: Path
) -> Iterable[str]:
    for pattern in model.agents:
        if ":" in pattern and not pattern.endswith(".py"):
            yield pattern
            continue
        found = next(paths for _, _, paths in _paths([pattern], folder))
        if any(letter in pattern for letter in "*?["):
            found = [path for path in found if not _is_beside_agents(path.name)]
        if not found:
            collector.problems.append(
                document.problem(
                    ("agents",),
                    f"no file matches {pattern!r}",
                    "name files relative to this one, or package.module:name",
                )
            )
        for path in found:
            yield str(path)


def _is_beside_agents(name: str) -> bool:
    """Whether a file of agents' folder is none of theirs, but a package's or a test's."""
    return (
        name in ("__init__.py", "conftest.py")
        or name.startswith("test_")
        or (name.endswith("_test.py"))
    )
