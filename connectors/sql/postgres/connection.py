"""Opens SQLAlchemy's connections to PostgreSQL, and sets how their values are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.pool import ConnectionPoolEntry

from bridge.connector import System
from bridge.connector.current_login import Attempt
from bridge.model.errors import ConfigurationError, LoginRefused
from connectors.sql.dialect import RESTRICTED
from connectors.sql.errors import first_line
from connectors.sql.postgres.address import NOT_AN_ADDRESS, READS, application_name, libpq_url
from connectors.sql.postgres.errors import is_login_refusal
from connectors.sql.postgres.seen_query import MAY_IDENTIFY
from connectors.sql.postgres.session_settings import SET_FOR_SESSION
from connectors.sql.write.statement_form import BINARY_OPTION

CONNECT_TIMEOUT_S = 10
"""Timeout of a connection, if the URL has no `connect_timeout`."""

#: Types whose Python objects say all that their text says; every other one is read as the server's
#: own text, for which Python has no object or one that says less (the order of a json object, the
#: months of an interval, infinity).
_PYTHON_TYPES = frozenset(
    {"bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "uuid", "bytea"}
)
_TEXT_TYPES = frozenset({"text", "varchar", "bpchar", "name"})


def connect_postgres(system: System, part: str, settings: Mapping[str, Any]) -> Any:
    """`settings` are the dialect's own: the client's encoding, and how values are adapted."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    def connect(attempt: Attempt) -> Any:
        if part == READS and system.read_sessions is not None:
            # Also a pool that opens another session in place of one that was ended asks here.
            system.read_sessions.check()
        try:
            conninfo = libpq_url(attempt.credentials.url)
            limits = {"connect_timeout": CONNECT_TIMEOUT_S, **conninfo_to_dict(conninfo)}
            return psycopg.connect(
                conninfo,
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
            raise LoginRefused(
                f"{where}: {first_line(error)}; check the user and the password in `url`"
            ) from None

    return system.shared_login.log_in_blocking(connect)


def read_as_text(connection: Any, record: ConnectionPoolEntry) -> None:
    """Make psycopg return the server's own text for types that Python would change, and note whether
    the login may ask which server it is.
    """
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
    for pg_type in adapters.types:
        if pg_type.array_oid:
            adapters.register_loader(pg_type.array_oid, TextLoader)
        if pg_type.name in _PYTHON_TYPES:
            continue
        adapters.register_loader(pg_type.oid, TextLoader)
        if pg_type.name in _TEXT_TYPES:
            adapters.register_loader(pg_type.oid, TextBinaryLoader)
        else:
            for oid in filter(None, (pg_type.oid, pg_type.array_oid)):
                adapters.register_loader(oid, SentLoader)
    adapters.register_loader(0, SentLoader)
    adapters.register_loader("float4", SingleLoader)
    adapters.register_dumper(SentValue, SentDumper)
    try:
        with connection.cursor() as cursor:
            cursor.execute("; ".join(SET_FOR_SESSION))
            cursor.execute(MAY_IDENTIFY)
            record.info[RESTRICTED] = cursor.fetchone() != (True,)
        connection.commit()
    except BaseException:
        connection.close()  # the pool discards it
        raise


def choose_result_format(
    _connection: Connection,
    cursor: Any,
    _statement: str,
    _parameters: Any,
    context: Any,
    _many: bool,
) -> None:
    """Request a binary result if the statement's options say so."""
    if context is not None and context.execution_options.get(BINARY_OPTION):
        from psycopg.pq import Format

        cursor.format = Format.BINARY
