"""Values in PostgreSQL's binary form, which no setting changes. The server itself converts them to text,
so that the result of a statement under the login's settings has the text of reads.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from psycopg.abc import Buffer
from psycopg.adapt import Dumper, Loader, PyFormat
from psycopg.pq import Format
from sqlalchemy.engine import Connection

from bridge.plan.coerce_number import shortest_single

_VOID = 2278
#: PostgreSQL selects at most 1,664 columns.
MAX_COLUMNS = 1_000
_SINGLE = struct.Struct(">f")


class TextLoader(Loader):
    """Text; bytes if a database without an encoding has other bytes than UTF-8."""

    def load(self, data: Buffer) -> str | bytes:
        """The value."""
        content = bytes(data)
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content


class TextBinaryLoader(TextLoader):
    """The same of a binary result."""

    format = Format.BINARY


class SentValue(bytes):
    """The binary form of a value, and the oid of its type."""

    oid: int


class SentLoader(Loader):
    """Keeps a value as it was sent."""

    format = Format.BINARY

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._oid = oid

    def load(self, data: Buffer) -> SentValue:
        """The value with its type."""
        value = SentValue(data)
        value.oid = self._oid
        return value


class SingleLoader(Loader):
    """A `real` by its shortest digits, as its text has it."""

    format = Format.BINARY

    def load(self, data: Buffer) -> float:
        """The float that is written as the server writes it."""
        return shortest_single(_SINGLE.unpack(data)[0])


class SentDumper(Dumper):
    """Sends a value back as it was sent."""

    format = Format.BINARY

    def get_key(self, obj: SentValue, format: PyFormat) -> Any:  # noqa: A002 - psycopg's name
        """Values of different types have dumpers of their own."""
        del format
        return (self.cls, obj.oid)

    def upgrade(self, obj: SentValue, format: PyFormat) -> Dumper:  # noqa: A002 - psycopg's name
        """The dumper of this value's type."""
        del format
        dumper = SentDumper(self.cls)
        dumper.oid = obj.oid
        return dumper

    def dump(self, obj: SentValue) -> Buffer:
        """Its bytes."""
        return bytes(obj)


def with_texts(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows with the server's text of each SentValue. Raises SQLAlchemyError for a type that the
    server can't read back (an anonymous row).
    """
    waiting = [value for row in rows for value in row if isinstance(value, SentValue)]
    texts: list[Any] = []
    for start in range(0, len(waiting), MAX_COLUMNS):
        texts += _texts(connection, waiting[start : start + MAX_COLUMNS])
    following = iter(texts)
    return [
        tuple(next(following) if isinstance(value, SentValue) else value for value in row)
        for row in rows
    ]


def _texts(connection: Connection, values: Sequence[SentValue]) -> list[Any]:
    names = [None if value.oid == _VOID else f"v{at}" for at, value in enumerate(values)]
    parameters = {name: value for name, value in zip(names, values, strict=True) if name}
    # By the type's own output: a cast may say more (of an inet) or less (of a char(n)).
    columns = ", ".join(f"format('%s', :{name})" for name in parameters)
    texts = iter(
        connection.execute(sa.text(f"SELECT {columns}"), parameters).one() if parameters else ()
    )
    return [next(texts) if name else "" for name in names]
