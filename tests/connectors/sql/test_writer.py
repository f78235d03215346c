from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import Any

import psycopg
import pytest

from bridge.connector import Done, Effect, Shape, System, TableUse
from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    OutcomeUnknown,
    Rejected,
    RetryLater,
)
from connectors.sql.write.writer import SqlWriter

from .conftest import SqlDatabase

TABLE = "CREATE TABLE stock (item varchar(10) PRIMARY KEY, qty integer CHECK (qty >= 0), note varchar(40))"
TAKE = "UPDATE stock SET qty = qty - :amount WHERE item = :key"


def take(command: str, amount: int = 1, item: str = "a", **more: Any) -> Effect:
    return Effect(
        command_id=command,
        digest=f"{amount}/{item}",
        statement=more.pop("statement", TAKE),
        parameters={"amount": amount, "key": item},
        table="stock",
        key={"item": item},
        **more,
    )


@pytest.fixture
def ready(erp_database: SqlDatabase) -> SqlDatabase:
    erp_database.run(
        TABLE, "INSERT INTO stock VALUES ('a', 100, NULL), ('b', 100, NULL), ('c', 1, NULL)"
    )
    erp_database.make_ledger()
    return erp_database


def quantities(erp_database: SqlDatabase) -> dict[str, int]:
    return dict(erp_database.rows("SELECT item, qty FROM stock"))


def code(outcome: object) -> str:
    assert isinstance(outcome, Rejected), outcome
    return outcome.code


async def test_a_command_takes_effect_once_however_often_it_is_asked_for(
    ready: SqlDatabase,
) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    await writer.prepare()
    effect = take("bot:1", 7)
    (first,) = await writer.execute([effect])
    again = await writer.execute([effect, effect])
    await writer.close()
    assert isinstance(first, Done)
    assert not first.repeated
    assert first.rows == 1
    assert first.after == ("a", 93, None)
    for outcome in again:
        assert isinstance(outcome, Done)
        assert outcome.repeated
        assert (outcome.rows, outcome.finished_at) == (1, first.finished_at)
    assert quantities(ready)["a"] == 93


async def test_the_same_command_twice_in_one_batch_takes_effect_once(ready: SqlDatabase) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    first, second, other = await writer.execute([take("x"), take("x"), take("x", 5)])
    await writer.close()
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert (first.repeated, second.repeated) == (False, True)
    assert code(other) == "key_reused"
    assert quantities(ready)["a"] == 99


async def test_the_same_id_with_another_content_is_rejected(ready: SqlDatabase) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    await writer.execute([take("x", 1)])
    (outcome,) = await writer.execute([take("x", 2)])
    await writer.close()
    assert code(outcome) == "key_reused"
    assert quantities(ready)["a"] == 99


async def test_one_failure_spares_the_rest_of_its_batch_and_leaves_nothing(
    ready: SqlDatabase,
) -> None:
    def refuse(shape: Shape | None, row: Any) -> None:
        raise Rejected("conflict", f"it is {row}")

    writer = SqlWriter(ready.system("stock"), ready.dialect)
    outcomes = await writer.execute(
        [
            take("1"),
            take("2", item="nothing"),
            take("3", statement="UPDATE stock SET qty = qty - :amount WHERE item >= :key"),
            take("4", 50, "c"),
            take("5", guard=refuse),
            take("6", statement="UPDATE nothing SET x = :amount"),
            take("7", statement="UPDATE stock SET qty = :undeclared"),
            take("8", 3, "b"),
        ]
    )
    await writer.close()
    assert isinstance(outcomes[0], Done)
    assert isinstance(outcomes[7], Done)
    assert [code(outcomes[at]) for at in (1, 2, 3, 4)] == [
        "not_found",
        "too_many_rows",
        "legacy_error",
        "conflict",
    ]
    assert isinstance(outcomes[5], BridgeError)
    assert isinstance(outcomes[6], ConfigurationError)
    assert ":undeclared" in str(outcomes[6])
    assert quantities(ready) == {"a": 99, "b": 97, "c": 1}
    assert ready.rows("SELECT command_id, outcome FROM bridge_ledger ORDER BY 1") == [
        ("1", "succeeded"),
        ("8", "succeeded"),
    ]


async def test_a_failed_command_may_be_tried_again(ready: SqlDatabase) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    (failed,) = await writer.execute([take("x", 50, "c")])
    ready.run("UPDATE stock SET qty = 60 WHERE item = 'c'")
    (done,) = await writer.execute([take("x", 50, "c")])
    await writer.close()
    assert code(failed) == "legacy_error"
    assert isinstance(done, Done)
    assert not done.repeated


async def test_many_rows_are_affected_only_where_that_is_declared(ready: SqlDatabase) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    everything = "UPDATE stock SET qty = qty - :amount"
    (outcome,) = await writer.execute([take("x", statement=everything, many=True)])
    await writer.close()
    assert isinstance(outcome, Done)
    assert outcome.rows == 3


async def test_a_guard_sees_the_row_or_that_there_is_none(ready: SqlDatabase) -> None:
    seen: list[tuple[tuple[str, ...] | None, Any]] = []

    def note(shape: Shape | None, row: Any) -> None:
        seen.append((tuple(column.name for column in shape.columns) if shape else None, row))

    writer = SqlWriter(ready.system("stock"), ready.dialect)
    await writer.execute([take("1", guard=note), take("2", item="zz", guard=note)])
    await writer.close()
    columns = ("item", "qty", "note")
    assert seen == [(columns, ("a", 100, None)), (columns, None)]


async def test_what_a_statement_returns_is_its_result(ready: SqlDatabase) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    effect = take("x", statement=TAKE + " RETURNING item, qty")
    (done,) = await writer.execute([effect])
    (again,) = await writer.execute([effect])
    await writer.close()
    assert isinstance(done, Done)
    assert isinstance(again, Done)
    assert done.result == again.result == '[{"item":"a","qty":99}]'


async def test_values_are_bound_and_never_become_part_of_the_statement(ready: SqlDatabase) -> None:
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    evil = "'; DELETE FROM stock; -- %s :key ?"
    effect = Effect(
        "x", "d", "UPDATE stock SET note = :note WHERE item = :key", {"note": evil, "key": "a"},
        "stock", {"item": "a"},
    )  # fmt: skip
    await writer.execute([effect])
    await writer.close()
    assert ready.rows("SELECT note FROM stock WHERE item = 'a'") == [(evil,)]


async def test_without_a_ledger_the_error_holds_the_statement_that_makes_it(
    erp_database: SqlDatabase,
) -> None:
    writer = SqlWriter(erp_database.system(), erp_database.dialect)
    with pytest.raises(ConfigurationError, match="CREATE TABLE bridge_ledger") as refused:
        await writer.prepare()
    statement = str(refused.value).split("make it with: ")[1]
    erp_database.run(statement)
    await writer.prepare()
    await writer.close()


async def test_two_executors_that_race_for_the_same_commands_do_them_once(
    ready: SqlDatabase,
) -> None:
    writers = [SqlWriter(ready.system("stock"), ready.dialect) for _ in range(2)]
    effects = [take(f"c{number}", 1, "a") for number in range(10)]

    async def all_of_them(writer: SqlWriter) -> list[Done | Exception]:
        while True:
            try:
                return await writer.execute(effects)
            except RetryLater:
                await asyncio.sleep(0.01)

    outcomes = await asyncio.gather(*(all_of_them(writer) for writer in writers))
    for writer in writers:
        await writer.close()
    repeated = [
        isinstance(outcome, Done) and outcome.repeated for batch in outcomes for outcome in batch
    ]
    assert (repeated.count(True), repeated.count(False)) == (10, 10)
    assert quantities(ready)["a"] == 90


KILLED = """
import asyncio, os, signal, sys
from bridge.connector import Effect, System, TableUse
from connectors.sql.write.writer import SqlWriter
import connectors.sql.write.writer as module

class Dies(SqlWriter):
    def _commit(self, transaction):
        if sys.argv[2] == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        super()._commit(transaction)
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    url = sys.argv[1]
    writer = Dies(System("acme", "erp", url, url, None, (TableUse("stock"),)))
    effect = Effect("x", "7/a", sys.argv[3], {"amount": 7, "key": "a"}, "stock", {"item": "a"})
    await writer.execute([effect])

asyncio.run(main())
"""


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(("moment", "repeated"), [("before", False), ("after", True)])
async def test_an_executor_killed_around_its_commit_is_made_up_for_once(
    ready: SqlDatabase, moment: str, repeated: bool
) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, ready.url, moment, TAKE, stderr=subprocess.PIPE
    )
    _, output = await program.communicate()
    assert program.returncode == -signal.SIGKILL, output.decode()
    writer = SqlWriter(ready.system("stock"), ready.dialect)
    (outcome,) = await writer.execute([take("x", 7)])
    await writer.close()
    assert isinstance(outcome, Done)
    assert outcome.repeated is repeated
    assert quantities(ready)["a"] == 93


async def test_a_lost_connection_before_the_commit_means_later_and_nothing_happened(
    server: SqlDatabase,
) -> None:
    server.run(TABLE, "INSERT INTO stock VALUES ('a', 100, NULL)")
    server.make_ledger()
    writer = SqlWriter(server.system("stock"), server.dialect)

    def cut(shape: Shape | None, row: Any) -> None:
        server.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in%'"
        )

    with pytest.raises(RetryLater):
        await writer.execute([take("1"), take("2", guard=cut)])
    assert quantities(server)["a"] == 100
    first, second = await writer.execute([take("1"), take("2")])
    await writer.close()
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert quantities(server)["a"] == 98


class LossyProxy:
    """Passes bytes to a server, and loses the answer to the commit on request."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self.losing = False
        self.port = 0
        self.serving: set[asyncio.Task[None] | None] = set()

    async def start(self) -> asyncio.Server:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        return listening

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(*self._to)
        cut = asyncio.Event()

        async def pump() -> None:
            while data := await reader.read(65536):
                to_writer.write(data)
                await to_writer.drain()
                if self.losing and b"COMMIT" in data:
                    cut.set()
            to_writer.close()

        async def back() -> None:
            while data := await to_reader.read(65536):
                if cut.is_set():
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

        self.serving.add(task := asyncio.current_task())
        await asyncio.gather(pump(), back(), return_exceptions=True)
        for stream in (writer, to_writer):
            stream.close()
            await asyncio.gather(stream.wait_closed(), return_exceptions=True)
        self.serving.discard(task)


async def test_a_lost_answer_to_the_commit_is_unknown_and_the_ledger_tells_it_afterwards(
    server: SqlDatabase,
) -> None:
    server.run(TABLE, "INSERT INTO stock VALUES ('a', 100, NULL)")
    server.make_ledger()
    info = psycopg.conninfo.conninfo_to_dict(server.url)
    proxy = LossyProxy(str(info["host"]), int(info["port"] or 5432))
    async with await proxy.start():
        erp_database = server.url.split("://")[1]
        login, _, rest = erp_database.rpartition("@")
        url = f"postgresql://{login}@127.0.0.1:{proxy.port}/{rest.split('/', 1)[1]}"
        system = System("acme", "erp", url, "shown", None, (TableUse("stock"),))
        writer = SqlWriter(system, server.dialect)
        await writer.execute([take("0")])
        proxy.losing = True
        with pytest.raises(OutcomeUnknown, match="send the same commands again"):
            await writer.execute([take("1", 5)])
        proxy.losing = False
        (outcome,) = await writer.execute([take("1", 5)])
        await writer.close()
        while proxy.serving:
            await asyncio.sleep(0.01)
    assert isinstance(outcome, Done)
    assert outcome.repeated
    assert quantities(server)["a"] == 94


async def test_a_constraint_checked_at_the_commit_fails_its_own_effect_only(
    server: SqlDatabase,
) -> None:
    server.run(
        "CREATE TABLE head (id integer PRIMARY KEY)",
        "CREATE TABLE stock (item varchar(10) PRIMARY KEY, qty integer,"
        " head integer REFERENCES head DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO stock VALUES ('a', 100, NULL), ('b', 100, NULL)",
    )
    server.make_ledger()
    writer = SqlWriter(server.system("stock"), server.dialect)
    wrong = "UPDATE stock SET head = :amount WHERE item = :key"
    good, bad, also = await writer.execute(
        [take("1"), take("2", 9, statement=wrong), take("3", 1, "b")]
    )
    await writer.close()
    assert isinstance(good, Done)
    assert isinstance(also, Done)
    assert code(bad) == "legacy_error"
    assert quantities(server) == {"a": 99, "b": 99}


async def test_markers_stand_before_their_own_changes_and_not_for_failed_ones(
    server: SqlDatabase,
) -> None:
    """test_decoding shows what a change stream will tell."""
    server.run(TABLE, "INSERT INTO stock VALUES ('a', 100, NULL)")
    server.make_ledger()
    server.run("SELECT pg_create_logical_replication_slot('seen', 'test_decoding')")
    writer = SqlWriter(server.system("stock"), server.dialect)
    outcomes = await writer.execute([take("one"), take("two", item="zz"), take("three", 2)])
    await writer.close()
    seen_markers = [
        row[2]
        for row in server.rows("SELECT * FROM pg_logical_slot_get_changes('seen', NULL, NULL)")
    ]
    story = [
        line.rpartition("content:")[2] if "message:" in line else "stock"
        for line in seen_markers
        if "message:" in line or "public.stock" in line
    ]
    assert story == ["one", "stock", "three", "stock"]
    last = server.rows("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")[0][0]
    done = outcomes[0]
    assert isinstance(done, Done)
    assert done.position is not None
    assert 0 < done.position <= last


async def test_a_guarded_row_is_locked_until_the_commit(server: SqlDatabase) -> None:
    server.run(TABLE, "INSERT INTO stock VALUES ('a', 100, NULL)")
    server.make_ledger()
    refused: list[str | None] = []

    def another_writes(shape: Shape | None, row: Any) -> None:
        def attempt() -> None:
            with psycopg.connect(server.url, autocommit=True) as other:
                other.execute("SET lock_timeout = '100ms'")
                try:
                    other.execute("UPDATE stock SET qty = 0")
                except psycopg.errors.LockNotAvailable as error:
                    refused.append(error.sqlstate)

        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    writer = SqlWriter(server.system("stock"), server.dialect)
    await writer.execute([take("x", guard=another_writes)])
    await writer.close()
    assert refused == ["55P03"]
    assert quantities(server)["a"] == 99


async def test_a_lock_that_is_not_given_delays_one_command_and_not_its_batch(
    server: SqlDatabase,
) -> None:
    server.run(TABLE, "INSERT INTO stock VALUES ('a', 100, NULL), ('b', 100, NULL)")
    server.make_ledger()
    options = "options=-c%20lock_timeout%3D200ms"
    url = f"{server.url}{'&' if '?' in server.url else '?'}{options}"
    system = System("acme", "erp", url, "shown", None, (TableUse("stock"),))
    writer = SqlWriter(system, server.dialect)
    with psycopg.connect(server.url) as legacy:
        legacy.execute("UPDATE stock SET note = 'held' WHERE item = 'a'")
        held, free = await writer.execute([take("1"), take("2", 1, "b")])
        legacy.rollback()
    await writer.close()
    assert isinstance(held, RetryLater)
    assert isinstance(free, Done)
    assert quantities(server) == {"a": 100, "b": 99}
