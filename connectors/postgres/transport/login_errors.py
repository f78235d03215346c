"""The code with which a server refused a login: libpq returns only a text, in the language of the
server's `lc_messages`.

libpq can trace the protocol's messages (PQtrace), and the refusal has the SQLSTATE. The trace also has
what was sent to log in, so it is made only for a second attempt, kept in memory, and read only for the
code.
"""

from __future__ import annotations

import asyncio
import os
import re

import psycopg
from psycopg import pq

#: The severity that isn't translated, then the code: both come before the server's own words.
_CODE = re.compile(
    rb'^[^\t]*\tB\t\d+\tErrorResponse\t S "[^"\n]*" V "[A-Z]+" C "(\w{5})"', re.MULTILINE
)
_READING, _WRITING = pq.PollingStatus.READING, pq.PollingStatus.WRITING


async def refused_login_codes(info: str, timeout: float) -> tuple[str, ...]:
    """Log in once more, and give the SQLSTATE of each server that refuses it, in the order in which
    they were asked; none if no server sends one, or if this can't be found out (it needs Linux and libpq
    18 or later). `timeout` in seconds.
    """
    if not hasattr(os, "memfd_create"):
        return ()
    note = os.memfd_create("bridge-login")
    try:
        async with asyncio.timeout(timeout):
            await _attempt(info, note)
        return codes(os.pread(note, os.fstat(note).st_size, 0))
    except (TimeoutError, psycopg.Error, OSError):
        # The first attempt's error is reported; this one only adds the code.
        return ()
    finally:
        os.close(note)


def codes(note: bytes) -> tuple[str, ...]:
    """The SQLSTATEs of the errors in a note."""
    return tuple(match.decode() for match in _CODE.findall(note))


async def _attempt(info: str, note: int) -> None:
    pgconn = pq.PGconn.connect_start(info.encode())
    try:
        pgconn.trace(note)
        while (state := pgconn.connect_poll()) in (_READING, _WRITING):
            await _ready(pgconn.socket, write=state == _WRITING)
        pgconn.untrace()
    finally:
        pgconn.finish()


async def _ready(socket: int, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(socket, wake)
    try:
        await ready
    finally:
        remove(socket)
