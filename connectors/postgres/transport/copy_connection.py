"""One connection to PostgreSQL over libpq, with COPY data taken in bulk.

psycopg's own `copy` and `get_copy_data` awaits cost microseconds a message in Python; here one
wait is followed by taking everything that libpq holds
(docs/decisions/2026-11-22-postgres-stream-over-libpq.md).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.connector import System
from bridge.connector.current_login import Attempt
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.postgres.errors import says_why, server_words, translate_error
from connectors.postgres.options import options_of
from connectors.postgres.transport.bounded_connection import BoundedConnection, no_answer
from connectors.postgres.transport.login_errors import refused_login_codes
from connectors.sql.postgres.address import NOT_AN_ADDRESS, application_name, libpq_url
from connectors.sql.postgres.session_settings import NO_ENCODING, SET_FOR_SESSION

#: A network that swallows everything is noticed after about a minute, whoever waits for whom:
#: the kernel's own defaults are two hours, and a quarter of an hour for what was sent.
_TCP = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
# Row security that hides rows is an error then, instead of a snapshot with gaps.
_SETTINGS = (*SET_FOR_SESSION, "SET row_security = off")


async def connect(
    system: System, role: str, *, replication: bool = False, patient: bool = False
) -> BoundedConnection:
    """A connection in autocommit. `role` names it in pg_stat_activity (`legacy-bridge acme erp source`).
    Each answer may take `answer_timeout` seconds, unless `patient`.

    Raises RetryLater or ConfigurationError, neither of which holds the password.
    """

    async def open_connection(attempt: Attempt) -> BoundedConnection:
        current = replace(system, url=attempt.credentials.url)
        return await _logged_in(current, role, replication=replication, patient=patient)

    return await system.shared_login.log_in(open_connection)


async def _logged_in(
    system: System, role: str, *, replication: bool, patient: bool
) -> BoundedConnection:
    options = options_of(system)
    info = ""
    try:
        info = conninfo(system, role, replication=replication)
        session = await BoundedConnection.connect(info, autocommit=True, client_encoding="UTF8")
    except UnicodeError:
        # A host that can't be looked up, in Python's own words.
        raise ConfigurationError(f"system {system.name!r}: {NOT_AN_ADDRESS}") from None
    except psycopg.Error as error:
        refused = (
            () if says_why(error) else await refused_login_codes(info, options.connect_timeout)
        )
        raise translate_error(error, system, "cannot connect", refused) from None
    session.limit = None if patient else options.answer_timeout
    return session


def conninfo(system: System, role: str, *, replication: bool = False) -> str:
    """The parameters for libpq: the system's URL, and defaults for what it leaves open. Raises
    psycopg.Error.
    """
    url = libpq_url(system.url)
    extra: dict[str, Any] = {
        "connect_timeout": options_of(system).connect_timeout,
        **_TCP,
        **conninfo_to_dict(url),
        "application_name": application_name(system, role),
    }
    if replication:
        extra["replication"] = "database"
    return make_conninfo(url, **extra)


class CopyConnection:
    """A connection whose COPY stream is taken in bulk. One task at a time."""

    def __init__(self, connection: BoundedConnection, system: System) -> None:
        self.connection = connection
        self._system = system
        self._pgconn = connection.pgconn
        self._ended = False

    @classmethod
    async def open(
        cls, system: System, role: str, *, replication: bool = False, patient: bool = False
    ) -> CopyConnection:
        """Connect; arguments and errors as in `connect`."""
        link = cls(await connect(system, role, replication=replication, patient=patient), system)
        try:
            # What has no binary form is sent as text, whose form these fix.
            for setting in _SETTINGS:
                await link.rows(setting)
            if replication and link.no_encoding:
                await link.rows(f"SET client_encoding = '{NO_ENCODING}'")
        except psycopg.Error as error:
            await link.close()
            raise translate_error(error, system, "cannot set up the session") from None
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def no_encoding(self) -> bool:
        """Whether text in this database is bytes that nobody has checked."""
        return self._pgconn.parameter_status(b"server_encoding") == NO_ENCODING.encode()

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement without parameters and return its rows. Raises psycopg.Error."""
        cursor = await self.connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []

    async def converted(self, content: bytes, oid: int) -> pq.abc.PGresult:
        """The text of one binary value of a type, by the server. The caller checks the status."""
        self._pgconn.send_query_params(
            b"SELECT $1::text", [content], [oid], [pq.Format.BINARY], pq.Format.TEXT
        )
        return await self._only_result()

    async def start_copy(self, statement: str) -> None:
        """Begin a COPY TO STDOUT or START_REPLICATION. Raises psycopg.Error when refused.

        A byte that is no UTF-8 is in the statement as `surrogateescape` has it.
        """
        pgconn = self._pgconn
        pgconn.send_query(statement.encode(errors="surrogateescape"))
        while pgconn.flush():
            await self._writable()
        while True:
            await self._answer()
            result = pgconn.get_result()
            if result is None:
                raise RetryLater(f"{self._where}: the server answered nothing to a COPY")
            if result.status in (pq.ExecStatus.COPY_OUT, pq.ExecStatus.COPY_BOTH):
                self._ended = False
                return
            if result.status == pq.ExecStatus.FATAL_ERROR:
                await self._drain_results()
                raise psycopg.errors.error_from_result(result)

    def take(self, frames: list[memoryview], count: int, size: int) -> bool:
        """Append what has arrived, up to `count` messages or about `size` bytes, without waiting.

        Returns whether the stream continues; False when the server ended it in order. Raises
        psycopg.Error with the server's reason.
        """
        if self._ended:
            return False
        get, append = self._pgconn.get_copy_data, frames.append
        dry = False
        while count > 0 and size > 0:
            length, data = get(1)
            if length > 0:
                append(data)
                count -= 1
                size -= length
                dry = False
            elif length == 0:
                if dry:
                    return True
                self._pgconn.consume_input()
                dry = True
            else:
                self._ended = True
                return False
        return True

    async def end_copy(self) -> None:
        """After `take` returned False: read the result. Raises psycopg.Error when it failed."""
        pgconn = self._pgconn
        failed: pq.abc.PGresult | None = None
        while True:
            await self._answer()
            result = pgconn.get_result()
            if result is None:
                break
            if result.status == pq.ExecStatus.FATAL_ERROR:
                failed = result
            elif result.status in (pq.ExecStatus.COPY_BOTH, pq.ExecStatus.COPY_IN):
                break
        if failed is not None:
            raise psycopg.errors.error_from_result(failed)

    async def send(self, message: bytes) -> None:
        """Send one CopyData message (a status update). Raises psycopg.Error when it is lost."""
        self._pgconn.put_copy_data(message)
        while self._pgconn.flush():
            await self._writable()

    async def readable(self, timeout: float | None) -> bool:
        """Wait until something has arrived; False after `timeout` seconds."""
        return await self._ready(timeout, write=False)

    async def close(self) -> None:
        """Close the socket. Never raises for a lost connection."""
        await self.connection.close()

    @property
    def _where(self) -> str:
        return f"system {self._system.name!r} ({self._system.shown_url})"

    def lost(self, error: psycopg.Error, doing: str) -> RetryLater:
        """A stream that broke off: the runner opens a new Source."""
        return RetryLater(f"{self._where}: {doing}: {server_words(error, self._system)}")

    async def _answer(self) -> None:
        """Wait until libpq holds a whole answer."""
        while self._pgconn.is_busy():
            await self._within_limit(write=False)
            self._pgconn.consume_input()

    async def _writable(self) -> None:
        await self._within_limit(write=True)

    async def _within_limit(self, *, write: bool) -> None:
        limit = self.connection.limit
        if not await self._ready(limit, write=write):
            raise no_answer(limit)

    async def _ready(self, timeout: float | None, *, write: bool) -> bool:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        file = self._pgconn.socket

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        add, remove = (
            (loop.add_writer, loop.remove_writer)
            if write
            else (loop.add_reader, loop.remove_reader)
        )
        add(file, wake)
        try:
            async with asyncio.timeout(timeout):
                await ready
            return True
        except TimeoutError:
            return False
        finally:
            remove(file)

    async def _only_result(self) -> pq.abc.PGresult:
        pgconn = self._pgconn
        while pgconn.flush():
            await self._writable()
        await self._answer()
        result = pgconn.get_result()
        if result is None:
            raise RetryLater(f"{self._where}: the server answered nothing")
        await self._drain_results()
        return result

    async def _drain_results(self) -> None:
        pgconn = self._pgconn
        while True:
            await self._answer()
            if pgconn.get_result() is None:
                return
