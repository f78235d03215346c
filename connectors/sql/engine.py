"""Engines: one for each part of a connector, made from a system's URL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine

from bridge.connector import System
from bridge.model.errors import ConfigurationError
from connectors.sql.postgres.address import (
    is_postgres_address,
)
from connectors.sql.postgres.connection import choose_result_format, connect_postgres, read_as_text
from connectors.sql.quoted_values import forbid_quoting
from connectors.sql.sqlite.connection import BUSY_TIMEOUT_S, sqlite_engine

_SQLITE_SCHEMES = {"sqlite", "sqlite+pysqlite"}
_DRIVERS = {"mysql": "mysql+pymysql"}


def parse_url(system: System) -> URL:
    """The system's URL with the bridge's driver if none is named; for a PostgreSQL address only the
    driver (`libpq_url` connects).
    """
    if is_postgres_address(system.url):
        return URL.create("postgresql+psycopg")
    scheme, mark, path = system.url.partition(":///")
    if mark and scheme in _SQLITE_SCHEMES:
        # The path as it is: SQLAlchemy reads text after a `?` as parameters.
        return URL.create("sqlite", database=path)
    try:
        url = sa.make_url(system.url)
    except (sa.exc.ArgumentError, ValueError):
        message = (
            f"system {system.name!r}: url {system.shown_url!r} is not a database URL of the form "
            "dialect://user:password@host/database"
        )
        raise ConfigurationError(message) from None
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def make_engine(
    system: System,
    connections: int = 1,
    *,
    part: str = "check",
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> Engine:
    """An engine with at most `connections` connections. Opens nothing yet.

    `part`: purpose of its sessions, as the database shows it.
    `busy_timeout_s`: how long to wait for SQLite's lock; this wait can't be cancelled.
    """
    engine = _new_engine(system, connections, part, busy_timeout_s)
    if system.masked:
        sa.event.listen(engine, "handle_error", _note_masked)
    return engine


def _note_masked(context: Any) -> None:
    forbid_quoting(context.original_exception)


def _new_engine(system: System, connections: int, part: str, busy_timeout_s: float) -> Engine:
    url = parse_url(system)
    if url.get_backend_name() == "sqlite":
        return sqlite_engine(system, url, connections, busy_timeout_s)
    options: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        # An hstore is the server's text too, not a dict.
        options = {"use_native_hstore": False, "client_encoding": "utf8"}
    try:
        engine = sa.create_engine(
            url, pool_size=connections, max_overflow=0, pool_pre_ping=True, **options
        )
    except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
        message = f"system {system.name!r}: no driver for {url.drivername!r} is installed: {error}"
        raise ConfigurationError(message) from error
    if url.get_backend_name() == "postgresql":

        def do_connect(_dialect: Any, _record: Any, _args: Any, settings: dict[str, Any]) -> Any:
            return connect_postgres(system, part, settings)

        sa.event.listen(engine, "do_connect", do_connect)
        sa.event.listen(engine, "connect", read_as_text)
        sa.event.listen(engine, "before_cursor_execute", choose_result_format)
    return engine
