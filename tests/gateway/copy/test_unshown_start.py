"""A copy that begins after a change was captured which reads don't show yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psycopg

from tests.capture.databases import PostgresDatabase
from tests.capture.harness import open_harness
from tests.conftest import PrivatePostgres
from tests.gateway.copy.harness import following
from tests.waiting import until


async def test_what_was_captured_before_the_start_and_isnt_shown_yet_fences_its_row(
    tmp_path: Path, private_postgres: PrivatePostgres
) -> None:
    """A commit that waits for a synchronous standby is in the stream before anybody sees it."""
    url = private_postgres().new_database()
    async with open_harness(tmp_path, PostgresDatabase(url)) as capture:
        capture.run("CREATE TABLE t (id integer PRIMARY KEY, a text)")
        capture.run("INSERT INTO t VALUES (1, 'old')")
        await capture.declare("t")
        async with capture.capturing():
            capture.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            capture.run("SELECT pg_reload_conf()")
            writer = await psycopg.AsyncConnection.connect(url, autocommit=True)
            await until(lambda: waits_for_standbys(capture.database))
            writing = asyncio.create_task(writer.execute("UPDATE t SET a = 'new' WHERE id = 1"))
            try:

                async def is_captured() -> bool:
                    return bool((await capture.state("t"))[1]["a"] == "new")

                await until(is_captured)
                async with following(capture) as copy:
                    await until(lambda: copy.copy.status(0.0).applied > 0)
                    assert (await copy.read("t", 1))[1]["a"] == "old"
                    assert copy.held("t", 1) == "nothing"
                    await copy.prove("t")
                    writer.cancel()  # the commit stands, without any standby
                    await writing
                    assert (await copy.read("t", 1))[1]["a"] == "new"
                    assert copy.held("t", 1)["a"] == "new"
            finally:
                writer.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                await writer.close()


def waits_for_standbys(database: PostgresDatabase | object) -> bool:
    assert isinstance(database, PostgresDatabase)
    _, rows = database.rows("SHOW synchronous_standby_names")
    return rows == [("nobody",)]
