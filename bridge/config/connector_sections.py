"""A connector's own parts of a system's file: `capture:` and `login:`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, RootModel, SecretStr, ValidationError

from bridge.config.collector import Collector, problem_of
from bridge.config.document import KeyPath
from bridge.config.load import SystemConfig
from bridge.config.problems import ConfigProblems

M = TypeVar("M", bound=BaseModel)


def capture_options(
    system: SystemConfig, kind: type[M], environ: Mapping[str, str] | None = None
) -> M:
    """The `capture:` mapping as the connector's own model, with secrets resolved.

    Raises ConfigProblems that name file and line.
    """
    return _section(system, "capture", system.capture, kind, environ)


def login_options(
    system: SystemConfig, kind: type[M] | None, environ: Mapping[str, str] | None = None
) -> M | None:
    """The `login:` mapping as the connector's own model, with secrets resolved; None without one.

    Raises ConfigProblems that name file and line, also if the connector has no `login:`.
    """
    if not system.login:
        return None
    if kind is None:
        problem = system.document.problem(
            ("login",),
            f"the connector {system.spec.connector!r} doesn't support login:",
            "log in through url:, as in scheme://user:${env:PASSWORD}@host",
        )
        raise ConfigProblems([problem])
    return _section(system, "login", system.login, kind, environ)


def _section(
    system: SystemConfig,
    name: str,
    data: Mapping[str, Any],
    kind: type[M],
    environ: Mapping[str, str] | None,
) -> M:
    collector = Collector(os.environ if environ is None else environ)
    section: M | None = None
    try:
        section = kind.model_validate(_Put(collector, system).value(kind, dict(data), (name,)))
    except ValidationError as error:
        for item in error.errors(include_input=False, include_url=False, include_context=False):
            collector.problems.append(problem_of(system.document, item, kind, (name,)))
    if collector.problems or section is None:
        raise ConfigProblems(collector.problems)
    return section


class _Put:
    """Resolves references, refuses secrets in clear, and makes paths relative to the file."""

    def __init__(self, collector: Collector, system: SystemConfig) -> None:
        self._collector = collector
        self._system = system

    def value(self, annotation: Any, value: Any, where: KeyPath) -> Any:
        kinds = list(_kinds(annotation))
        if isinstance(value, dict):
            return {
                name: self.value(_field(kinds, name), item, (*where, name))
                for name, item in value.items()
            }
        if isinstance(value, list):
            inner = tuple(arg for kind in kinds for arg in get_args(kind))
            return [
                self.value(inner or None, item, (*where, index)) for index, item in enumerate(value)
            ]
        if not isinstance(value, str):
            return value
        system = self._system
        if "${" in value:
            value = self._collector.secret(system.document, where, value, system.folder).reveal()
        elif SecretStr in kinds:
            self._collector.problems.append(
                system.document.problem(
                    where, "holds a secret in clear", "write it by reference: ${env:NAME}"
                )
            )
        return str(system.folder / value) if Path in kinds and value else value


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types in an annotation, from the outside in: unions, lists and roots unpacked."""
    if isinstance(annotation, tuple):
        for part in annotation:
            yield from _kinds(part)
        return
    yield annotation
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        yield from _kinds(annotation.model_fields["root"].annotation)
    for part in get_args(annotation):
        yield from _kinds(part)


def _field(kinds: list[Any], name: str) -> Any:
    """The annotations of a field in the models among `kinds`."""
    annotations: list[Any] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            annotations += [
                item.annotation
                for own, item in kind.model_fields.items()
                if name in {own, item.alias, item.validation_alias}
            ]
        elif get_origin(kind) in {dict, Mapping}:
            # dict[str, SecretStr]: its values are secrets too
            annotations += [get_args(kind)[-1]]
    return tuple(annotations)
