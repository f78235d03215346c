"""Whom a statement of ours waits for: asked over another session, while it waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import psycopg

from bridge.model.errors import RetryLater
from connectors.postgres.transport.bounded_connection import BoundedConnection

ASK_EVERY_S = 0.5
_LOG = logging.getLogger("bridge.setup")

#: Sessions that hold what `pid` waits for; 0 is a prepared transaction, which has no session.
#: (https://www.postgresql.org/docs/current/functions-info.html, pg_blocking_pids)
BLOCKERS = """
SELECT b.pid, a.usename::text, a.application_name, a.state,
       to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
       (SELECT string_agg(quote_literal(gid), ', ' ORDER BY prepared) FROM pg_prepared_xacts
        WHERE database = current_database()) AS prepared
FROM unnest(pg_blocking_pids(%s)) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid
"""


@dataclass(frozen=True, slots=True)
class Blocker:
    """One session, or prepared transactions (`pid` 0), that another one waits for."""

    pid: int
    user: str | None
    application: str | None
    state: str | None
    since: str | None
    prepared: str | None

    def __str__(self) -> str:
        if not self.pid:
            return (
                f"a prepared transaction ({self.prepared}): end it with COMMIT PREPARED or "
                "ROLLBACK PREPARED"
            )
        name = f", application {self.application!r}" if self.application else ""
        state = f", {self.state}" if self.state else ""
        since = f", its transaction open since {self.since} UTC" if self.since else ""
        return (
            f"session {self.pid} (user {self.user}{name}{state}{since}): end it with "
            f"SELECT pg_terminate_backend({self.pid})"
        )


async def run_watched(
    connection: BoundedConnection,
    statement: str,
    blockers: Callable[[], Awaitable[tuple[Blocker, ...]]],
) -> None:
    """Run a statement; a wait for other sessions is logged as it begins, with their names.

    `blockers` asks, over another session, whom `connection` waits for. Raises RetryLater with the
    names when the server ended the statement for its `statement_timeout`, else psycopg.Error.
    """
    latest: tuple[Blocker, ...] = ()
    running = asyncio.ensure_future(connection.execute(statement))
    try:
        while not running.done():
            await asyncio.wait({running}, timeout=ASK_EVERY_S)
            if running.done() or not (waits_for := await blockers()):
                continue
            if waits_for != latest:
                _LOG.warning("%s", waiting_text(statement, waits_for))
            latest = waits_for
        await running
    except psycopg.errors.QueryCanceled:
        if not latest:
            raise
        raise RetryLater(f"gave up: {waiting_text(statement, latest)}; then run it again") from None
    finally:
        running.cancel()


def waiting_text(statement: str, blockers: Sequence[Blocker]) -> str:
    """The statement and whom it waits for, as a sentence. Pure."""
    return f"{' '.join(statement.split())} waits for {'; and for '.join(map(str, blockers))}"


async def blockers_of(connection: BoundedConnection, pid: int) -> tuple[Blocker, ...]:
    """Whom the session `pid` waits for now."""
    cursor = await connection.execute(BLOCKERS, [pid])
    return tuple(Blocker(*row) for row in await cursor.fetchall())
