"""Whatever is wrong with one entity stops that entity alone.

The others are captured, whether the bad one was there at the first start or was added later; its
reason is reported with what fixes it; and once it is fixed it begins by itself, with its snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import psycopg
import pytest

from bridge.capture.report import status_record
from bridge.capture.runner import Capture
from bridge.connector import System
from bridge.model.errors import ConfigurationError
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType
from connectors.journal import connector as journal
from tests.capture.databases import BRIDGE, PostgresDatabase
from tests.capture.harness import CaptureHarness, until
from tests.capture.test_troubles import running

TABLE = "CREATE TABLE {} (id int PRIMARY KEY, s text)"
GOOD = (EntitySpec("erp", "t", "t"), EntitySpec("erp", "u", "u"))
BAD = EntitySpec("erp", "bad", "bad")
ROW = "INSERT INTO bad VALUES (1, 'there before')"
PUBLISH = "ALTER PUBLICATION bridge ADD TABLE bad"
GRANT = "GRANT SELECT ON bad TO {role}"
MISSING_COLUMN = (FieldSpec("id", ("id",)), FieldSpec("n", ("n",)))

UNKNOWN_CALL = FieldSpec("s", ("s",), FieldType("string"), call="no_such_module:f")


@dataclass(frozen=True)
class EntityMistake:
    """`make` is there before capture starts, `says` is reported, `fix` makes it right."""

    make: tuple[str, ...]
    says: str
    fix: tuple[str, ...] = ()
    published: bool = True
    entity: EntitySpec = BAD


MISTAKES = {
    "not published": EntityMistake(
        (TABLE.format("bad"), ROW, GRANT),
        'ALTER PUBLICATION "bridge" ADD TABLE "public"."bad"',
        (PUBLISH,),
        published=False,
    ),
    "not there": EntityMistake(
        (), "'bad' does not exist", (TABLE.format("bad"), ROW, GRANT, PUBLISH), published=False
    ),
    "not readable": EntityMistake(
        (TABLE.format("bad"), ROW), 'run: GRANT SELECT ON "public"."bad" TO "{role}"', (GRANT,)
    ),
    "schema not usable": EntityMistake(
        ("CREATE SCHEMA x", TABLE.format("x.bad"), "GRANT SELECT ON x.bad TO {role}"),
        'run: GRANT USAGE ON SCHEMA "x" TO "{role}"',
        ("GRANT USAGE ON SCHEMA x TO {role}", "INSERT INTO x.bad VALUES (1, 'there before')"),
        entity=replace(BAD, table="x.bad"),
    ),
    "no key": EntityMistake(
        ("CREATE TABLE bad (id int NOT NULL, s text)", ROW, GRANT),
        "declare `key`",
        ("ALTER TABLE bad ADD PRIMARY KEY (id)",),
    ),
    "no replica identity": EntityMistake(
        ("CREATE TABLE bad (id int NOT NULL, s text)", ROW, GRANT),
        'run: ALTER TABLE "public"."bad" REPLICA IDENTITY FULL',
        ("ALTER TABLE bad REPLICA IDENTITY FULL",),
        entity=replace(BAD, key=("id",)),
    ),
    "no replica identity, not published": EntityMistake(
        ("CREATE TABLE bad (id int NOT NULL, s text)", ROW, GRANT),
        'run: ALTER TABLE "public"."bad" REPLICA IDENTITY FULL',
        ("ALTER TABLE bad REPLICA IDENTITY FULL", PUBLISH),
        published=False,
        entity=replace(BAD, key=("id",)),
    ),
    "a key that is no column": EntityMistake(
        (TABLE.format("bad"), ROW, GRANT),
        "'n' is not among its fields",
        ("ALTER TABLE bad ADD n int NOT NULL DEFAULT 3, REPLICA IDENTITY FULL",),
        entity=replace(BAD, key=("n",)),
    ),
    "a field that is no column": EntityMistake(
        (TABLE.format("bad"), ROW, GRANT),
        "has no column 'n'",
        ("ALTER TABLE bad ADD n int",),
        entity=replace(BAD, fields=MISSING_COLUMN),
    ),
    "a transform that is not there": EntityMistake(
        (TABLE.format("bad"), ROW, GRANT),
        "no_such_module",
        entity=replace(BAD, fields=(FieldSpec("id", ("id",)), UNKNOWN_CALL)),
    ),
    "a view": EntityMistake(("CREATE VIEW bad AS SELECT 1 AS id", GRANT), "is a view", published=False,
        entity=replace(BAD, key=("id",)),
    ),
    "unlogged": EntityMistake(
        ("CREATE UNLOGGED TABLE bad (id int PRIMARY KEY, s text)", ROW, GRANT),
        'run: ALTER TABLE "public"."bad" SET LOGGED',
        ("ALTER TABLE bad SET LOGGED", PUBLISH),
        published=False,
    ),
}  # fmt: skip


@pytest.fixture
async def login(pg: CaptureHarness) -> AsyncIterator[str]:
    """Capture logs in as a role that may replicate, and read `t` and `u`."""
    legacy = pg.database
    assert isinstance(legacy, PostgresDatabase)
    legacy.options["heartbeat"] = 0.2
    address = legacy.url.rpartition("@")[2]
    role = f"bridge_{address.rpartition('/')[2]}"
    pg.run(
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'hush'",
        *(TABLE.format(name) for name in "tu"),
        "INSERT INTO t VALUES (1, 'old')",
        f"GRANT SELECT ON t, u TO {role}",
    )
    superuser, legacy.url = legacy.url, f"postgresql://{role}:hush@{address}"
    yield role
    with psycopg.connect(superuser, autocommit=True) as session:
        session.execute(f"DROP OWNED BY {role}".encode())
        session.execute(f"DROP ROLE {role}".encode())


def system_of(harness: CaptureHarness) -> System:
    """The rig's system, which says of its tables what the entities declare."""
    keys = {entity.table: entity.key for entity in harness.entities}
    system = harness.system()
    uses = tuple(replace(use, key=keys[use.table]) for use in system.tables)
    return replace(system, tables=uses)


@asynccontextmanager
async def captured(harness: CaptureHarness) -> AsyncIterator[Capture]:
    capture = Capture(harness.deps(system=system_of(harness)), "two")
    async with running(capture):
        await until(lambda: capture.stats.state in ("streaming", "stopped"))
        assert capture.stats.state == "streaming", capture.stats.reason
        yield capture


async def reported(harness: CaptureHarness) -> str:
    """What `bridgectl status` says of entities of the system."""
    status = (await status_record.statuses(harness.log, BRIDGE))["erp"]
    waiting = [job["waiting"] for job in status.snapshots]
    return " ".join([*status.troubles.values(), *waiting])


@pytest.mark.parametrize("when", ["at the first start", "added later"])
@pytest.mark.parametrize("name", MISTAKES)
async def test_one_bad_entity_of_postgres_stops_itself_alone(
    pg: CaptureHarness, login: str, name: str, when: str
) -> None:
    mistake = MISTAKES[name]
    pg.run(*(statement.replace("{role}", login) for statement in mistake.make))
    tables = ", ".join(["t", "u", *([mistake.entity.table] if mistake.published else [])])
    pg.run(f"CREATE PUBLICATION bridge FOR TABLE {tables}")
    pg.entities = GOOD
    if when == "added later":
        async with pg.capturing("one"):
            await pg.equal("t", "u")
    pg.entities = (*GOOD, mistake.entity)
    async with captured(pg) as capture:
        pg.run("INSERT INTO t VALUES (2, 'new')", "INSERT INTO u VALUES (1, 'new')")
        await pg.equal("t", "u")
        says = mistake.says.replace("{role}", login)

        async def is_reported() -> bool:
            return says in await reported(pg)

        await until(is_reported)
        if not mistake.fix:
            return
        # What alters a table waits for a chunk of it that is being read.
        fixes = [statement.replace("{role}", login) for statement in mistake.fix]
        await asyncio.to_thread(pg.run, *fixes)
        key = (mistake.entity.key or ("id",))[0]

        async def is_captured() -> bool:
            return len(await pg.state("bad", key)) == 1

        await until(is_captured)
        await until(lambda: not capture.stats.troubles and not capture.stats.waiting)
        assert not capture.stats.progress.paused
        pg.run("INSERT INTO u VALUES (2, 'new')")
        await pg.equal("t", "u")


async def test_a_system_none_of_whose_tables_is_published_begins_by_itself(
    pg: CaptureHarness, login: str
) -> None:
    pg.run(TABLE.format("bad"), ROW, GRANT.replace("{role}", login), "CREATE PUBLICATION bridge")
    pg.entities = (BAD,)
    async with captured(pg) as capture:
        await until(lambda: "ADD TABLE" in capture.stats.troubles.get("bad", ""))
        pg.run(PUBLISH, "INSERT INTO bad VALUES (2, 'then')")
        await pg.equal("bad")
        await until(lambda: not capture.stats.troubles)
        pg.run("UPDATE bad SET s = 'now'")
        await pg.equal("bad")


JOURNAL_MISTAKES = {
    "not there": EntityMistake((), "bad", (TABLE.format("bad"), ROW)),
    "no key": EntityMistake(("CREATE TABLE bad (id int NOT NULL, s text)", ROW), "key"),
    "a field that is no column": EntityMistake(
        (TABLE.format("bad"), ROW),
        "has no column 'n'",
        ("ALTER TABLE bad ADD n int",),
        entity=replace(BAD, fields=MISSING_COLUMN),
    ),
}


@pytest.mark.parametrize("when", ["at the first start", "added later"])
@pytest.mark.parametrize("name", JOURNAL_MISTAKES)
async def test_one_bad_entity_of_a_journal_stops_itself_alone(
    harness: CaptureHarness, name: str, when: str
) -> None:
    mistake = JOURNAL_MISTAKES[name]
    harness.run(*(TABLE.format(table) for table in "tu"), *mistake.make)
    if when == "added later":
        await harness.declare(*GOOD)
        async with harness.capturing("one"):
            await harness.equal("t", "u")
    harness.entities = (*GOOD, mistake.entity)
    # Where the others are set up already, it says what is wrong with the bad one.
    with suppress(ConfigurationError):
        await journal.setup(system_of(harness))
    async with captured(harness) as capture:
        harness.run("INSERT INTO t VALUES (2, 'new')", "INSERT INTO u VALUES (1, 'new')")
        await harness.equal("t", "u")

        async def is_reported() -> bool:
            return mistake.says in await reported(harness)

        await until(is_reported)
        if not mistake.fix:
            return
        harness.run(*mistake.fix)
        await journal.setup(system_of(harness))

        async def is_captured() -> bool:
            return len(await harness.state("bad")) == 1

        await until(is_captured)
        await until(lambda: not capture.stats.troubles and not capture.stats.waiting)
        harness.run("INSERT INTO u VALUES (2, 'new')")
        await harness.equal("t", "u")
