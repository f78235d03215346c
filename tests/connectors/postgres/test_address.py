"""Every form of `url` that libpq takes leads every part to the same database."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from bridge.config.secrets import resolve_references
from bridge.connector import Ask
from bridge.model.errors import ConfigurationError, RetryLater
from connectors.postgres import connector
from tests.connectors.postgres.postgres_erp import PostgresErp, open_source
from tests.services.ports import free_ports

FORMS = [
    "postgresql://postgres@{host}:{port}/{name}",
    "postgres://postgres@{host}:{port}/{name}",
    "postgresql+psycopg://postgres@{host}:{port}/{name}",
    "postgresql://postgres@{host}:{free},{host}:{port}/{name}",
    "postgresql://postgres@{host}:{port},{host}:{free}/{name}?target_session_attrs=read-write",
    "postgresql:///{name}?host={host}&port={port}&user=postgres",
    "host={host} port={port} dbname={name} user=postgres",
    "dbname='{name}' user = postgres host={host},{host} port={free},{port}",
]


@pytest.mark.parametrize("form", FORMS)
async def test_capture_reads_and_commands_take_the_same_addresses(
    erp: PostgresErp, form: str
) -> None:
    erp.run("CREATE TABLE t (id int PRIMARY KEY, n int)", "INSERT INTO t VALUES (1, 7)")
    erp.publish("t")
    [free] = free_ports(1)
    url = form.format(
        host=erp.server.host,
        port=erp.server.port,
        free=free,
        name=erp.url.rpartition("/")[2],
    )
    system = erp.system("t", url=url, commands=True)
    await connector.setup(system)
    async with open_source(system):
        pass
    reader = await connector.reader(system)
    rows = await reader.fetch(Ask("t", ("id",), [(1,)]))
    assert list(rows.rows) == [(1, 7)]
    await reader.close()
    writer = await connector.writer(system)
    try:
        await writer.prepare()
    finally:
        await writer.close()
    assert "from: t" in await connector.draft(system)
    assert not [f for f in await connector.check(system) if f.fatal]


async def test_an_address_that_is_none_is_told_without_a_piece_of_it(erp: PostgresErp) -> None:
    system = erp.system("t", url="host=erp-db pasword=hunter2hunter2")
    reader = await connector.reader(system)
    with pytest.raises(ConfigurationError, match="not an address that PostgreSQL") as refusal:
        await reader.fetch(Ask("t", ("id",), [(1,)]))
    assert "hunter2" not in str(refusal.value)
    await reader.close()


async def test_nobody_at_any_of_several_hosts_is_waited_for(erp: PostgresErp) -> None:
    first, second = free_ports(2)
    url = f"host=127.0.0.1,127.0.0.1 port={first},{second} user=postgres dbname=x"
    reader = await connector.reader(erp.system("t", url=url))
    with pytest.raises(RetryLater):
        await reader.fetch(Ask("t", ("id",), [(1,)]))
    await reader.close()


@pytest.mark.parametrize("password", ["a b", "it's", r"back\slash", "p=1 host=evil", "'", "ä%40"])
@pytest.mark.parametrize("quoted", ["{}", "'{}'"])
def test_a_password_by_reference_is_one_setting_whatever_is_in_it(
    password: str, quoted: str
) -> None:
    text = "host=erp-db password=" + quoted.format("${env:PW}") + " dbname=erp"
    url = resolve_references(text, {"PW": password}, Path()).reveal()
    assert conninfo_to_dict(url) == {"host": "erp-db", "password": password, "dbname": "erp"}
