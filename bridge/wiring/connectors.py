"""Connectors by name, and systems as their connectors see them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from bridge.config import ConfigProblems, SystemConfig
from bridge.config.connector_sections import capture_options, login_options
from bridge.config.problems import Problem
from bridge.config.secrets import resolve_references
from bridge.connector import Connector, System, TableUse
from bridge.connector.current_login import Credentials, CurrentLogin
from bridge.model.specs import EntitySpec
from bridge.wiring.system_limits import effective_limits, published_limits, reservation_of

GROUP = "bridge.connectors"


def connector_names() -> dict[str, EntryPoint]:
    """Every installed connector, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load_connector(system: SystemConfig) -> Connector:
    """The connector of a system. Raises ConfigProblems that list those that are installed."""
    name = system.spec.connector
    installed = connector_names()
    entry = installed.get(name)
    if entry is None:
        problem = system.document.problem(
            ("connector",),
            f"{name!r} is not installed",
            f"installed are {', '.join(sorted(installed))}",
        )
        raise ConfigProblems([problem])
    try:
        return cast("Connector", entry.load())
    except ImportError as error:
        problem = system.document.problem(
            ("connector",),
            f"{name!r} can't be loaded: {error}",
            f"pip install 'legacy-bridge[{name}]'",
        )
        raise ConfigProblems([problem]) from error


def build_system(
    bridge: str, config: SystemConfig, connector: Connector, *, surface: bool = False
) -> System:
    """The system as its connector sees it. Raises ConfigProblems for wrong `capture:` or `login:`.

    surface: in a process that doesn't run the bridge, whose reads have connections of their own.
    """
    if config.unresolved:
        raise ConfigProblems(list(config.unresolved))
    url = config.url.reveal()
    problems: list[Problem] = []
    made_of, logs_in = None, None
    try:
        made_of = capture_options(config, connector.options)
    except ConfigProblems as error:
        problems += error.problems
    try:
        logs_in = login_options(config, getattr(connector, "login", None))
    except ConfigProblems as error:
        problems += error.problems
    if config.tls is not None and not getattr(connector, "speaks_http", False):
        what = f"the connector {config.spec.connector!r} has no tls: of its own"
        hint = "say it in url:, as in postgresql://...?sslmode=verify-full&sslrootcert=/FILE"
        problems.append(config.document.problem(("tls",), what, hint))
    if problems:
        raise ConfigProblems(problems)
    system = System(
        bridge=bridge,
        name=config.spec.name,
        url=_from_folder(url, config),
        shown_url=config.shown_url,
        options=made_of,
        tables=tuple(_tables(config.spec.entities)),
        connections=config.spec.limits.connections,
        commands=bool(config.spec.commands),
        login=logs_in,
        tls=config.tls,
        logins=CurrentLogin(
            Credentials(_from_folder(url, config), logs_in),
            _reader_of(config, connector),
            by_restart=_has_only_variables(config),
        ),
        masked=frozenset(
            entity.table
            for entity in config.spec.entities
            if any(field.mask for field in entity.fields)
        ),
    )
    published = published_limits(connector, system)
    limits = effective_limits(config.spec.limits, config.spec.written_limits, published)
    system = replace(
        system,
        limits=limits,
        connections=limits.connections,
        one_reader=config.gateway is not None,
    )
    if not limits.total_connections:
        return system
    reservation = reservation_of(connector, system)
    return replace(system, connections=reservation.surfaces if surface else reservation.reads)


def _reader_of(config: SystemConfig, connector: Connector) -> Callable[[], Credentials] | None:
    """Looks up the references in `url` and `login:` again; None if there are none."""
    if "${" not in config.url_text and not config.login:
        return None

    def read() -> Credentials:
        url = resolve_references(config.url_text, os.environ, config.folder).reveal()
        return Credentials(
            _from_folder(url, config), login_options(config, getattr(connector, "login", None))
        )

    return read


def _has_only_variables(config: SystemConfig) -> bool:
    """Whether every secret of the login is an environment variable."""
    texts = f"{config.url_text} {config.login}"
    return "${env:" in texts and "${file:" not in texts


def _from_folder(url: str, config: SystemConfig) -> str:
    """Relative paths start at the file that names them."""
    scheme, mark, path = url.partition(":///")
    if not mark or not scheme.startswith("sqlite") or not path or path.startswith((":", "/")):
        return url
    return f"{scheme}:///{(config.folder / path).resolve()}"


def _tables(entities: Iterable[EntitySpec]) -> Iterable[TableUse]:
    """One TableUse a table, over all entities that stand on it."""
    uses: dict[str, TableUse] = {}
    for entity in entities:
        by_field = {field.name: field.columns for field in entity.fields}
        key = tuple(column for name in entity.key for column in by_field.get(name, (name,)))
        columns = tuple(
            dict.fromkeys(column for field in entity.fields for column in field.columns)
        )
        use = uses.get(entity.table)
        if use is None:
            uses[entity.table] = TableUse(entity.table, key, columns, entity.max_deletes)
            continue
        both = tuple(dict.fromkeys((*use.columns, *columns))) if use.columns and columns else ()
        uses[entity.table] = replace(use, key=use.key or key, columns=both)
    return uses.values()
