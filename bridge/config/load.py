"""Loads the bridge file and everything that it declares, or reports all problems at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bridge.config.absolute_path import absolute_path
from bridge.config.clear_secrets import (
    clear_command_problems,
    clear_secret_problems,
    hide_secrets,
)
from bridge.config.collector import Collector
from bridge.config.document import Document, read
from bridge.config.gateway_section import GatewayConfig, gateway_config
from bridge.config.log_target import LogTarget, log_of
from bridge.config.models import DEFAULT_AUDIT_SHARE, BridgeModel, SystemModel
from bridge.config.models_to_specs import duration_ms, system_problems, system_spec
from bridge.config.problems import ConfigProblems, Problem
from bridge.config.secrets import Secret
from bridge.config.tls_section import tls_files
from bridge.config.weak_secrets import weak_secrets
from bridge.model.error_text import error_message
from bridge.model.specs import BudgetSpec, SystemSpec
from bridge.tls import TlsFiles


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
    tls: TlsFiles | None = None
    gateway: GatewayConfig | None = None
    """Which process reads it for all others; None: each process reads it itself."""
    unresolved: tuple[Problem, ...] = ()
    """Why it can't be connected to: secrets that can't be resolved; see `load`."""
    url_text: str = field(default="", repr=False)
    """`url` as written: its references are resolved again when a login is refused."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the files declare."""

    bridge: str
    log: LogTarget
    systems: tuple[SystemConfig, ...]
    agents: tuple[str, ...]
    history_ms: int
    max_record_bytes: int
    stalled_after_s: float
    budgets: Mapping[str, BudgetSpec]
    view_folder: Path
    folder: Path
    file: str
    warnings: tuple[Problem, ...] = ()
    audit_share: float = DEFAULT_AUDIT_SHARE
    """Of the answers from a copy, those that are compared with the system itself; 0 to 1."""


def load(path: Path, environ: Mapping[str, str] | None = None, *, whole: bool = True) -> Config:
    """Load `path` and every file that it names. Raises ConfigProblems with all problems.

    Unless `whole`, a system whose secrets can't be resolved is refused only when it is connected to
    (`SystemConfig.unresolved`): commands that only read the log may run without them.
    """
    collector = Collector(os.environ if environ is None else environ)
    path = absolute_path(path)
    folder = path.parent
    hint = f"looked in {folder}; another file is named by -c FILE or BRIDGE_CONFIG"
    document = read(path, path.name, hint)
    collector.problems.extend(clear_secret_problems(document, document.data))
    collector.warnings.extend(weak_secrets(document, document.data, collector.environ, folder))
    model = collector.model(document, BridgeModel)
    if model is None:
        raise ConfigProblems(collector.problems)
    target = log_of(collector, document, model, folder)
    systems = _systems(collector, document, model, folder, whole=whole)
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
        stalled_after_s=duration_ms(model.stalled_after) / 1000,
        budgets={
            name: BudgetSpec(each.reads, duration_ms(each.per) / 1000, each.per_event)
            for name, each in model.budgets.items()
        },
        view_folder=_view_folder(model, target, folder),
        folder=folder,
        file=document.file,
        warnings=tuple(collector.warnings),
        audit_share=model.gateway.audit,
    )


def _view_folder(model: BridgeModel, log: LogTarget, folder: Path) -> Path:
    """Where the process may write: beside the embedded log, if there is one."""
    if model.view_folder is not None:
        return folder / model.view_folder
    return folder / "var" / "views" if log.path is None else log.path.parent / "views"


def _files(pattern: str, folder: Path, bridge_file: str) -> tuple[list[Path], str]:
    """The files of a pattern, and what is wrong if there are none."""
    try:
        files = _matches(pattern, folder, bridge_file)
    except (OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error_message(error)
        return [], f"{hide_secrets(pattern)!r} is not a valid file pattern: {reason}"
    return files, "" if files else f"no file matches {hide_secrets(pattern)!r}"


def _matches(pattern: str, folder: Path, bridge_file: str) -> list[Path]:
    """As in a shell: hidden files only if the pattern says so, because Kubernetes mounts every file
    of a ConfigMap a second time in a hidden folder beside it. The bridge's own file is never a
    system.
    """
    if not any(letter in pattern for letter in "*?["):
        path = folder / pattern
        return [path] if path.is_file() else []
    own = os.path.normpath(folder / bridge_file)
    rooted = Path(pattern)
    if rooted.is_absolute():
        folder, pattern = Path(rooted.anchor), str(rooted.relative_to(rooted.anchor))
    shows_hidden = any(part.startswith(".") and part != ".." for part in Path(pattern).parts)
    return sorted(
        path
        for path in folder.glob(pattern)
        if os.path.normpath(path) != own
        and (shows_hidden or not _is_hidden(path.relative_to(folder)))
    )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)


def _systems(
    collector: Collector, document: Document, model: BridgeModel, folder: Path, *, whole: bool
) -> list[SystemConfig]:
    systems: list[SystemConfig] = []
    seen: dict[str, str] = {}
    for pattern in model.systems:
        paths, problem = _files(pattern, folder, document.file)
        if problem:
            collector.problems.append(
                document.problem(("systems",), problem, f"looked in the folder of {document.file}")
            )
        for path in paths:
            collector.postponed = None if whole else []
            system = _system(collector, path, folder)
            unresolved, collector.postponed = tuple(collector.postponed or ()), None
            if system is None:
                continue
            system = replace(system, unresolved=unresolved)
            if (other := seen.get(system.spec.name)) is not None:
                what = f"system {system.spec.name!r} is already declared in {other}"
                hint = "rename one of the two, or remove one from systems:"
                collector.problems.append(system.document.problem(("system",), what, hint))
            seen[system.spec.name] = system.document.file
            systems.append(system)
    return systems


def _system(collector: Collector, path: Path, folder: Path) -> SystemConfig | None:
    try:
        document = read(path, os.path.relpath(path, folder))
    except ConfigProblems as error:
        collector.problems.extend(error.problems)
        return None
    collector.problems.extend(_secrets_in_clear(document))
    sections = _without_declarations(document)
    collector.warnings.extend(weak_secrets(document, sections, collector.environ, path.parent))
    model = collector.model(document, SystemModel)
    if model is None:
        return None
    collector.problems.extend(system_problems(document, model))
    mask_key: Secret | None = None
    if model.mask_key:
        mask_key = collector.secret(document, ("mask_key",), model.mask_key, path.parent)
    return SystemConfig(
        spec=system_spec(model),
        url=collector.secret(document, ("url",), model.url, path.parent),
        shown_url=hide_secrets(model.url),
        mask_key=mask_key,
        capture=model.capture,
        document=document,
        folder=path.parent,
        login=model.login,
        url_text=model.url,
        tls=tls_files(collector, document, model.tls, ("tls",), path.parent),
        gateway=gateway_config(collector, document, model.gateway, path.parent),
    )


def _secrets_in_clear(document: Document) -> Iterator[Problem]:
    """The secrets in clear of one system's file. Entities are skipped: they only name columns, one
    of which may be called `password`.
    """
    yield from clear_secret_problems(document, _without_declarations(document))
    if isinstance(document.data, dict):
        yield from clear_command_problems(document, document.data.get("commands"))


def _without_declarations(document: Document) -> dict[Any, Any]:
    data = document.data if isinstance(document.data, dict) else {}
    return {name: item for name, item in data.items() if name not in {"entities", "commands"}}


def _agents(
    collector: Collector, document: Document, model: BridgeModel, folder: Path
) -> Iterable[str]:
    for pattern in model.agents:
        if ":" in pattern and not pattern.endswith(".py"):
            yield pattern
            continue
        agent_files, problem = _files(pattern, folder, document.file)
        if any(letter in pattern for letter in "*?["):
            agent_files = [path for path in agent_files if not _is_beside_agents(path.name)]
        if not agent_files:
            collector.problems.append(
                document.problem(
                    ("agents",),
                    problem or f"no file matches {hide_secrets(pattern)!r}",
                    "name files relative to this one, or package.module:name",
                )
            )
        for path in agent_files:
            yield str(path)


def _is_beside_agents(name: str) -> bool:
    """Whether a file in the agents' folder is not an agent, but belongs to a package or a test."""
    return (
        name in ("__init__.py", "conftest.py")
        or name.startswith("test_")
        or (name.endswith("_test.py"))
    )
