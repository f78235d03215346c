"""Engines: one for each part of a connector, made from a system's URL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from bridge.connector import System
from bridge.model.encoded_text import EncodedText
from bridge.model.errors import ConfigurationError, LoginRefused, RetryLater
from connectors.sql.errors import first_line
from connectors.sql.postgres.address import (
    NOT_AN_ADDRESS,
    application_name,
    is_postgres_address,
    libpq_url,
)
from connectors.sql.postgres.errors import is_login_refusal
from connectors.sql.postgres.session_settings import SET_FOR_SESSION
from connectors.sql.quoted_values import forbid_quoting
from connectors.sql.write.statement_form import BINARY

BEGIN = "bridge_begin"
"""Execution option of a connection: the statement that opens its transactions on SQLite."""

BUSY_TIMEOUT_S = 5.0
"""How long a statement waits for SQLite's lock before it is RetryLater."""

CONNECT_TIMEOUT_S = 10
"""How long a connection may take, where the URL's `connect_timeout` doesn't say."""

_SQLITE_SCHEMES = {"sqlite", "sqlite+pysqlite"}
_DRIVERS = {"mysql": "mysql+pymysql"}


#: Types whose Python objects say all that their text says; every other one is read as the server's
#: own text, for which Python has no object or one that says less (the order of a json object, the
#: months of an interval, infinity).
_OBJECTS = frozenset(
    {"bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "uuid", "bytea"}
)
_TEXTS = frozenset({"text", "varchar", "bpchar", "name"})


def parse_url(system: System) -> URL:
    """The system's URL with the driver that the bridge uses where none is named; of a PostgreSQL
    address the driver alone (`libpq_url` is what connects).
    """
    if is_postgres_address(system.url):
        return URL.create("postgresql+psycopg")
    scheme, mark, path = system.url.partition(":///")
    if mark and scheme in _SQLITE_SCHEMES:
        # The path as it is: SQLAlchemy takes what stands behind a `?` for parameters.
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
    busy_seconds: float = BUSY_TIMEOUT_S,
) -> Engine:
    """An engine with at most `connections` connections. Opens nothing yet.

    `part`: what its sessions are for, as the database shows it. `busy_seconds`: how long SQLite's
    lock is waited for, which nothing cuts short.
    """
    engine = _new_engine(system, connections, part, busy_seconds)
    if system.masked:
        sa.event.listen(engine, "handle_error", _note_masked)
    return engine


def _note_masked(context: Any) -> None:
    forbid_quoting(context.original_exception)


def _new_engine(system: System, connections: int, part: str, busy_seconds: float) -> Engine:
    url = parse_url(system)
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(system, url, connections, busy_seconds)
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
            return _connect_postgres(system, part, settings)

        sa.event.listen(engine, "do_connect", do_connect)
        sa.event.listen(engine, "connect", read_as_text)
        sa.event.listen(engine, "before_cursor_execute", _choose_format)
    return engine


def _connect_postgres(system: System, part: str, settings: Mapping[str, Any]) -> Any:
    """`settings` are the dialect's own: the client's encoding, and how values are adapted."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    while True:
        attempt = system.shared_login.attempt()
        try:
            given = libpq_url(attempt.credentials.url)
            limits = {"connect_timeout": CONNECT_TIMEOUT_S, **conninfo_to_dict(given)}
            connection = psycopg.connect(
                given,
                connect_timeout=limits["connect_timeout"],
                application_name=application_name(system, part),
                **settings,
            )
        except (psycopg.ProgrammingError, UnicodeError):
            raise ConfigurationError(f"system {system.name!r}: {NOT_AN_ADDRESS}") from None
        except psycopg.OperationalError as error:
            if not is_login_refusal(error):
                raise
            where = f"system {system.name!r} ({system.shown_url}): cannot connect"
            refused = LoginRefused(
                f"{where}: {first_line(error)}; check the user and the password in `url`"
            )
            if (wrong := system.shared_login.refused(attempt, refused)) is not None:
                raise wrong from None
        else:
            system.shared_login.accepted(attempt)
            return connection
        finally:
            system.shared_login.ended(attempt)


def read_as_text(connection: Any, _record: object) -> None:
    """Let psycopg hand over the server's own text of types that Python would change."""
    from connectors.sql.postgres.sent_values import (
        SentDumper,
        SentLoader,
        SentValue,
        SingleLoader,
        TextBinaryLoader,
        TextLoader,
    )

    # A statement that the server has prepared fails for good once its table gets another shape.
    connection.prepare_threshold = None

    adapters = connection.adapters
    adapters.register_loader(0, TextLoader)
    for kind in adapters.types:
        if kind.array_oid:
            adapters.register_loader(kind.array_oid, TextLoader)
        if kind.name in _OBJECTS:
            continue
        adapters.register_loader(kind.oid, TextLoader)
        if kind.name in _TEXTS:
            adapters.register_loader(kind.oid, TextBinaryLoader)
        else:
            for oid in filter(None, (kind.oid, kind.array_oid)):
                adapters.register_loader(oid, SentLoader)
    adapters.register_loader(0, SentLoader)
    adapters.register_loader("float4", SingleLoader)
    adapters.register_dumper(SentValue, SentDumper)
    try:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(SET_FOR_SESSION))
        connection.commit()
    except BaseException:
        connection.close()  # the pool lets go of it
        raise


def _choose_format(
    _connection: Connection,
    cursor: Any,
    _statement: str,
    _parameters: Any,
    context: Any,
    _many: bool,
) -> None:
    """Ask for a binary result where the statement's options say so."""
    if context is not None and context.execution_options.get(BINARY):
        from psycopg.pq import Format

        cursor.format = Format.BINARY


def sqlite_path(system: System, url: URL) -> Path:
    """The database file. A missing one is an error: SQLite would make an empty one."""
    if not url.database or url.database == ":memory:":
        message = f"system {system.name!r}: url {system.shown_url!r} names no SQLite file"
        raise ConfigurationError(message)
    path = Path(url.database)
    if not path.is_file():
        message = f"system {system.name!r}: there is no SQLite database at {path}; correct `url`"
        raise ConfigurationError(message)
    return path


def text_or_bytes(value: bytes) -> str | bytes:
    """Text of SQLite; bytes where a legacy program stored another code page as text."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return EncodedText(value)


def connect_sqlite(path: Path, timeout: float | None = None) -> Callable[[], sqlite3.Connection]:
    """Opens an existing file; transactions are begun by the `begin` event alone.

    `timeout`: seconds to wait for a lock (None: `BUSY_SECONDS`).
    """

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=rw",
            uri=True,
            timeout=BUSY_TIMEOUT_S if timeout is None else timeout,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = text_or_bytes
        return connection

    return connect


def file_identity(path: Path) -> tuple[int, int]:
    """Which file it is. Raises RetryLater while there is none, as when a backup is restored."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise RetryLater(f"there is no SQLite database at {path} just now") from None
    return status.st_dev, status.st_ino


def engine_of_file(path: Path, connections: int, busy_seconds: float) -> Engine:
    """An engine that opens its connections again when another file was put in the database's place:
    those that are open would read and write the old one for ever. `Connection.info["file"]` is the
    identity of the file.
    """
    connect = connect_sqlite(path, busy_seconds)
    opened: dict[int, tuple[int, int]] = {}

    def create() -> sqlite3.Connection:
        # Asked for before it is opened: a file that comes in between is seen at the next checkout.
        identity = file_identity(path)
        connection = connect()
        opened[id(connection)] = identity
        return connection

    engine = sa.create_engine(
        "sqlite://",
        creator=create,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
    )

    def connected(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["file"] = opened.pop(id(connection))

    def checked_out(_: Any, record: ConnectionPoolEntry, __: Any) -> None:
        if record.info["file"] != file_identity(path):
            raise sa.exc.DisconnectionError

    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "checkout", checked_out)
    return engine


def _sqlite_engine(system: System, url: URL, connections: int, busy_seconds: float) -> Engine:
    engine = engine_of_file(sqlite_path(system, url), connections, busy_seconds)

    def begin(connection: Connection) -> None:
        options: dict[str, Any] = dict(connection.get_execution_options())
        connection.exec_driver_sql(options.get(BEGIN, "BEGIN"))

    sa.event.listen(engine, "begin", begin)
    return engine
