"""A new owner of a system's reads ends the sessions of those before it, and these open no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.connector import Ask, EndsSessions, ReadSessions, System
from bridge.model.errors import RetryLater
from connectors.postgres.capture_dialect import POSTGRES
from connectors.postgres.connector import connector
from connectors.postgres.transport import read_sessions
from connectors.sql.postgres.address import MAX_NAME, application_name
from connectors.sql.read.reader import SqlReader
from tests.connectors.postgres.postgres_erp import PostgresErp


def allowed() -> None:
    """Nobody else owns the system."""


def owned(system: System, label: str, check: Callable[[], None] = allowed) -> System:
    return replace(system, read_sessions=ReadSessions(label, check))


@pytest.fixture
def system(erp: PostgresErp) -> System:
    erp.run("CREATE TABLE stock (id int PRIMARY KEY)", "INSERT INTO stock VALUES (1)")
    return replace(erp.system("stock"), connections=1)


def names(erp: PostgresErp) -> list[str]:
    rows = erp.rows(
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'legacy-bridge%'"
        " AND datname = current_database() ORDER BY 1"
    )
    return [name for (name,) in rows]


async def test_the_sessions_of_owners_before_are_ended(erp: PostgresErp, system: System) -> None:
    assert isinstance(connector, EndsSessions)
    first = SqlReader(owned(system, "g1-aa"), POSTGRES)
    second = SqlReader(owned(system, "g2-bb"), POSTGRES)
    for reader in (first, second):
        await reader.fetch(Ask("stock"))
    assert [name[-8:] for name in names(erp)] == ["s #g1-aa", "s #g2-bb"]
    assert await connector.end_sessions(owned(system, "g2-bb")) == 0
    assert [name[-8:] for name in names(erp)] == ["s #g2-bb"]
    assert (await second.fetch(Ask("stock"))).rows == [(1,)]
    for reader in (first, second):
        await reader.close()


async def test_one_that_lost_the_system_opens_no_other_session(
    erp: PostgresErp, system: System
) -> None:
    owns = True

    def check() -> None:
        if not owns:
            raise RetryLater("the lease is over")

    old = SqlReader(owned(system, "g1-aa", check), POSTGRES)
    assert (await old.fetch(Ask("stock"))).rows
    owns = False
    assert await connector.end_sessions(owned(system, "g2-bb")) == 0
    for _ in range(3):
        with pytest.raises(RetryLater):
            await old.fetch(Ask("stock"))
    assert names(erp) == []
    owns = True
    assert (await old.fetch(Ask("stock"))).rows == [(1,)]
    await old.close()


async def test_sessions_without_a_label_are_counted_and_left(
    erp: PostgresErp, system: System
) -> None:
    plain = SqlReader(system, POSTGRES)
    await plain.fetch(Ask("stock"))
    assert await connector.end_sessions(owned(system, "g2-bb")) == 1
    assert (await plain.fetch(Ask("stock"))).rows
    await plain.close()


async def test_sessions_of_other_systems_and_bridges_are_left(
    erp: PostgresErp, system: System
) -> None:
    systems = (
        replace(system, name="er"),
        replace(system, name="erp2"),
        replace(system, bridge="acm"),
    )
    others = [SqlReader(owned(other, "g1-aa"), POSTGRES) for other in systems]
    for reader in others:
        await reader.fetch(Ask("stock"))
    assert await connector.end_sessions(owned(system, "g2-bb")) == 0
    assert len(names(erp)) == len(others)
    for reader in others:
        await reader.close()


async def test_sessions_that_may_not_be_ended_are_counted(
    erp: PostgresErp, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_sessions, "END_TIMEOUT_S", 0.1)
    theirs = SqlReader(owned(system, "g1-aa"), POSTGRES)
    await theirs.fetch(Ask("stock"))
    database = erp.url.rpartition("/")[2]
    role = f"reader_{database}"
    erp.run(f"CREATE ROLE {role} LOGIN PASSWORD 'pw-of-{role}'")
    try:
        mine = owned(
            erp.system("stock", url=erp.server.url_of(database, role, f"pw-of-{role}")), "g2-bb"
        )
        assert await connector.end_sessions(mine) == 1
    finally:
        erp.run(f"DROP ROLE {role}")
    assert (await theirs.fetch(Ask("stock"))).rows
    await theirs.close()


async def test_an_unavailable_server_is_a_clear_error(system: System) -> None:
    away = replace(system, url="postgresql://nobody@127.0.0.1:1/nothing", logins=None)
    with pytest.raises(RetryLater, match="'erp'"):
        await connector.end_sessions(owned(away, "g2-bb"))


def test_the_label_of_long_names_fits_and_differs_by_name(system: System) -> None:
    label = "g123456789012-abcdef012345"[:24]
    long = [owned(replace(system, bridge="b" * 63, name=name * 63), label) for name in ("s", "t")]
    session_names = [application_name(each, "reads") for each in long]
    assert all(len(name) <= MAX_NAME and name.endswith(f"#{label}") for name in session_names)
    assert len(set(session_names)) == len(session_names)
    assert application_name(long[0], "source") == application_name(
        replace(long[0], read_sessions=None), "source"
    )
