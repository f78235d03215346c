"""A PostgreSQL `url` in any form that libpq takes, for every part that connects by it alike."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final

from bridge.connector import System

SCHEMES = ("postgresql", "postgres")
#: SQLAlchemy's way of naming the driver, which libpq doesn't know.
_DRIVER_SCHEMES = ("postgresql+psycopg://", "postgres+psycopg://")
NOT_AN_ADDRESS = (
    "`url` is not an address that PostgreSQL understands: write "
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the "
    "password percent-encoded, or host=HOST dbname=DATABASE user=USER"
)
_KEY_VALUES = re.compile(r"\s*[a-z_]+\s*=")


def is_postgres_address(url: str) -> bool:
    """Whether `url` is PostgreSQL's: a URL of it, or libpq's `host=erp-db dbname=erp`.

    Read here and not by SQLAlchemy, which knows neither the second form nor several hosts with
    ports. Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
    """
    scheme, separator, _ = url.partition("://")
    if separator:
        return scheme.partition("+")[0] in SCHEMES
    return _KEY_VALUES.match(url) is not None


def libpq_url(url: str) -> str:
    """The URL without the name of a driver. Raises psycopg.ProgrammingError for one whose
    password holds a bare `@` or `/`: libpq would take a piece of it for a host and print it.
    """
    for prefix in _DRIVER_SCHEMES:
        if url.startswith(prefix):
            url = "postgresql://" + url.removeprefix(prefix)
    if "://" in url:
        user, at, _ = url.partition("://")[2].partition("?")[0].rpartition("@")
        if at and ("@" in user or "/" in user):
            from psycopg import ProgrammingError

            raise ProgrammingError
    return url


MAX_NAME: Final = 63
"""Bytes at which PostgreSQL cuts an application_name."""
READS: Final = "reads"
_LABEL_ROOM: Final = 26


def application_name(system: System, part: str) -> str:
    """How a session of the bridge is named in pg_stat_activity."""
    if part == READS and system.read_sessions is not None:
        return f"{labelled_prefix(system)}{system.read_sessions.label}"
    return f"legacy-bridge {system.bridge} {system.name} {part}"[:MAX_NAME]


def labelled_prefix(system: System) -> str:
    """With what the names of all owners' sessions of reads begin; the label follows. Long names of
    bridge and system are replaced by their digest, because the label has to fit.
    """
    names = f"{system.bridge} {system.name}"
    prefix = f"legacy-bridge {names} {READS} #"
    if len(prefix) > MAX_NAME - _LABEL_ROOM:
        prefix = f"legacy-bridge {sha256(names.encode()).hexdigest()[:12]} {READS} #"
    return prefix
