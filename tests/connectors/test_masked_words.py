"""What a server says about a table with masked columns doesn't get their values into any message."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from bridge.connector import System, TableUse
from bridge.model.errors import BridgeError
from connectors.odata.capture.options import ODataOptions
from connectors.odata.http.transport import ODataTransport
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import ODataResponse
from connectors.postgres.errors import translate_error
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.tryton.http.errors import error_of, fault_of

PERSON = "anna.masked@example.org"
WITHHELD = "its message is withheld"
TABLES = (TableUse("customer"), TableUse("product"))


def system(url: str, masked: bool = True) -> System:
    names = frozenset({"customer"}) if masked else frozenset()
    return System("acme", "erp", url, "erp", None, TABLES, masked=names)


POSTGRES = {
    "what a trigger raises": "do $$ begin raise exception 'there is %', email from customer; end $$",
    "under a code of its own": (
        "do $$ begin raise exception 'there is %', (select email from customer)"
        " using errcode = '23505'; end $$"
    ),
    "a value that can't be read": "select email::int from customer",
    "a statement that a trigger puts together": (
        "do $$ begin execute 'select ' || (select email from customer); end $$"
    ),
    "a name that a trigger puts together": (
        "do $$ begin execute format('select %I', (select email from customer)); end $$"
    ),
    "a row that fails": "insert into customer values (1, 'x', null)",
    "a key that is there": "insert into customer select 2, email, 1 from customer",
}


@pytest.mark.parametrize("masked", [True, False])
def test_postgresql_tells_names_but_no_values(database: str, masked: bool) -> None:
    with psycopg.connect(database, autocommit=True) as users:
        users.execute(
            "create table customer (id int primary key, email text unique, n int not null)"
        )
        users.execute("insert into customer values (1, %s, 1)", [PERSON])
        here = system(database, masked)
        engine = make_engine(here)
        texts: dict[str, str] = {}
        for name, statement in POSTGRES.items():
            with (
                pytest.raises(BridgeError) as caught,
                translating_errors("system 'erp'"),
                engine.begin() as connection,
            ):
                connection.execute(sa.text(statement.replace(":", "\\:")))
            with pytest.raises(psycopg.Error) as refused:
                users.execute(statement)
            texts[name] = f"{caught.value} | {translate_error(refused.value, here, 'reading')}"
        engine.dispose()
    if not masked:
        assert PERSON in texts["what a trigger raises"]
        return
    assert [name for name, text in texts.items() if PERSON in text] == []
    assert texts["what a trigger raises"].count(WITHHELD) == 2
    assert "code 22P02" in texts["a value that can't be read"]
    # What holds names only is as useful as before.
    assert "violates unique constraint" in texts["a key that is there"]
    assert 'null value in column "n"' in texts["a row that fails"]


def test_sqlite_tells_names_but_no_words_of_triggers(tmp_path: Path) -> None:
    path = tmp_path / "erp.db"
    with sqlite3.connect(path) as users:
        users.executescript(
            "create table customer (id int primary key, email text unique);"
            "create trigger t before update on customer begin"
            f" select raise(abort, 'there is {PERSON}'); end;"
            f"insert into customer values (1, '{PERSON}');"
        )
    users.close()
    engine = make_engine(system(f"sqlite:///{path}"))
    texts = []
    for statement in (
        "update customer set id = 3",
        "insert into customer select 2, email from customer",
    ):
        with (
            pytest.raises(BridgeError) as caught,
            translating_errors("system 'erp'"),
            engine.begin() as connection,
        ):
            connection.execute(sa.text(statement))
        texts.append(str(caught.value))
    engine.dispose()
    assert WITHHELD in texts[0]
    assert texts[1] == "system 'erp': UNIQUE constraint failed: customer.email"
    assert PERSON not in "".join(texts)


def error(code: str = "C/42") -> dict[str, Any]:
    return {"error": {"code": code, "message": f"{PERSON} is there already"}}


ODATA = [
    ODataResponse(400, {}, error()),
    ODataResponse(400, {}, error(PERSON)),
    ODataResponse(500, {}, error()),
    ODataResponse(200, {}, error()),
    ODataResponse(403, {}, error()),
    ODataResponse(503, {}, error()),
    ODataResponse(502, {"content-type": "text/html"}, f"<html><title>{PERSON}</title>".encode()),
    ODataResponse(200, {"content-type": "text/html"}, f"<html><title>{PERSON}</title>".encode()),
    ODataResponse(400, {}, f"<error><message>{PERSON}</message></error>".encode()),
    ODataResponse(400, {}, f"{PERSON} is there".encode()),
]
MASKED = (
    "customer", "customer('1')", "customer?$top=1", "http://erp/o/customer?$skiptoken=1",
    "product('1')/owner", "product?$expand=owner", "merge", "$batch",
)  # fmt: skip


async def test_odata_tells_its_code_but_no_words() -> None:
    exchange = ODataTransport(replace(system("http://erp/o/"), options=ODataOptions()), lambda: 0.0)
    for answer in ODATA:
        for path in MASKED:
            for method in ("GET", "PATCH"):
                with pytest.raises(BridgeError) as caught:
                    exchange.check(ODataRequest(method, path), answer)
                assert PERSON not in str(caught.value), (answer, path)
                assert WITHHELD in str(caught.value), (answer, path)
        with pytest.raises(BridgeError, match=PERSON):
            exchange.check(ODataRequest("GET", "product?$top=1"), ODATA[0])
    with pytest.raises(BridgeError, match=r"400: code C/42, its message"):
        exchange.check(ODataRequest("GET", "customer"), ODATA[0])
    rows = ODataResponse(200, {}, {"value": [{"email": PERSON}]})
    exchange.check(ODataRequest("GET", "customer"), rows)
    await exchange.close()


def test_tryton_tells_the_kind_but_no_words() -> None:
    for error_text in (
        ["UserError", [f"{PERSON} is there", ""]],
        ["UserWarning", ["name", f"{PERSON} is there", ""]],
        ["ConcurrencyException", f"{PERSON}"],
        [f"ValueError: {PERSON}", "traceback"],
    ):
        masked, plain = (
            str(error_of(fault_of(error_text), "erp", masked=way)) for way in (True, False)
        )
        assert PERSON in plain
        assert PERSON not in masked
        assert WITHHELD in masked
