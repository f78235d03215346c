"""Lookups by few remote calls, counted at the ERP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bridge.connector import Ask, Rows, TableUse
from bridge.model.errors import Rejected
from bridge.observe import Notice
from connectors.tryton.reader import TrytonReader
from tests.connectors.tryton.erp import ErpUser, gateway, system
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy
from tests.services.tryton import OUTSIDER, Tryton

HOW = ("fields_get", "search_read")
"""What a model is asked: once what it has, then its rows."""


FORWARDED_HEADERS = ("authorization", "content-type")


@asynccontextmanager
async def reading(url: str, *uses: TableUse) -> AsyncIterator[TrytonReader]:
    reader = TrytonReader(system(url, tables=uses) if uses else system(url))
    try:
        yield reader
    finally:
        await reader.close()


def named(rows: Rows, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the rows."""
    names = [column.name for column in rows.shape.columns]
    return sorted(tuple(row[names.index(column)] for column in columns) for row in rows.rows)


async def test_500_sales_with_lines_products_and_customers_are_a_handful_of_calls(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    """One by one they are 500 sales, 500 lists of lines, 2,000 products and 500 customers."""
    keys = erp_user.fill(sales=500, lines=4)
    notices: list[Notice] = []
    async with gateway(system(tryton.url), notices.append) as erp_gateway:
        tryton.reset()
        sales = await erp_gateway.get_many("sale", keys)
        lines = await erp_gateway.related_many("sale", sales, "lines")
        flat = [line for sale_lines in lines for line in sale_lines]
        products = await erp_gateway.related_many("line", flat, "product")
        customers = await erp_gateway.related_many("sale", sales, "customer")
        calls = tryton.calls()
    assert [sale is not None and sale["id"] for sale in sales] == keys
    assert [len(sale_lines) for sale_lines in lines] == [4] * 500
    assert {line["sale"] for line in lines[7]} == {keys[7]}
    assert [product["id"] for product in products[:4]] == [line["product"] for line in lines[0]]
    assert [customer["code"] for customer in customers[:3]] == ["C1", "C2", "C3"]
    assert len(calls) <= 12, calls
    assert set(calls) == {
        "common.db.login",
        "model.res.user.get_preferences",
        *(f"model.{of}.{how}" for of in ("sale.sale", "sale.line") for how in HOW),
        *(f"model.{of}.{how}" for of in ("product.product", "party.party") for how in HOW),
    }


async def test_numbers_keep_their_digits_and_rows_that_are_not_there_are_left_out(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    keys = erp_user.fill(sales=2, lines=1)
    async with reading(tryton.url) as reader:
        rows = await reader.fetch(Ask("sale.line", ("sale",), [(keys[0],), (987_654,), (None,)]))
        assert named(rows, "sale", "quantity", "unit_price") == [(keys[0], 1.0, Decimal("10.0000"))]
        tryton.reset()
        rows = await reader.fetch(Ask("sale.sale", ("id",), [(key,) for key in (*keys, 987_654)]))
        assert named(rows, "id", "state") == [(key, "draft") for key in keys]
        # Once more, since one is missing and no larger answer came before: it may have been cut.
        assert tryton.calls()[1:] == ["model.sale.sale.search_read"] * 2
        assert len((await reader.fetch(Ask("sale.sale", limit=2))).rows) == 2


async def test_rows_are_found_by_several_columns_and_out_of_use_ones_too(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    first, second = erp_user.sell(), erp_user.sell("quote")
    code = erp_user.reference()
    party = erp_user.rpc.create("party.party", {"name": "Gone & Co", "code": code})
    erp_user.rpc.call("model.party.party.write", [party], {"active": False})
    async with reading(tryton.url) as reader:
        keys = [(first, "draft"), (second, "draft"), (second, "quotation")]
        rows = await reader.fetch(Ask("sale.sale", ("id", "state"), keys))
        assert named(rows, "id", "state") == [keys[0], keys[2]]
        rows = await reader.fetch(Ask("party.party", ("code",), [(code,)]))
        assert named(rows, "id", "name") == [(party, "Gone & Co")]


async def test_a_key_that_cannot_be_asked_for_is_rejected_and_the_reader_goes_on(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    key = erp_user.sell()
    wrong: dict[str, tuple[str, list[str], list[tuple[Any, ...]]]] = {
        "field 'id' (integer): invalid literal": ("sale.sale", ["id"], [("seven",), (key,)]),
        "field 'nope': there is no such field": ("sale.sale", ["nope"], [(1,)]),
        "field 'lines': one2many of sale.line": ("sale.sale", ["lines"], [(1,)]),
        "no model 'sale.nope'": ("sale.nope", ["id"], [(1,)]),
        "has not 1 values": ("sale.sale", ["id"], [(1, 2)]),
        "without columns": ("sale.sale", [], [(1,)]),
        "at most 1000": ("sale.sale", ["id"], [(number,) for number in range(1001)]),
    }
    async with reading(tryton.url) as reader:
        for words, (model, columns, keys) in wrong.items():
            with pytest.raises(Rejected) as caught:
                await reader.fetch(Ask(model, columns, keys))
            assert words in str(caught.value)
            assert caught.value.code == "bad_key"
        assert named(await reader.fetch(Ask("sale.sale", ("id",), [(key,)])), "id") == [(key,)]
    async with reading(tryton.url_of(OUTSIDER)) as reader:
        with pytest.raises(Rejected, match="You are not allowed to access"):
            await reader.fetch(Ask("sale.sale", ("id",), [(key,)]))


async def test_a_field_that_depends_on_the_context_is_read_in_the_context_that_is_declared(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    """Stock is a function of the places that one asks for."""
    store = erp_user.rpc.the("stock.location", ["code", "=", "STO"])
    use = TableUse("product.product", (), ("id", "quantity"))
    options = {"contexts": {"product.product": {"locations": [store]}}}
    reader = TrytonReader(system(tryton.url, tables=[use], options=options))
    rows = await reader.fetch(Ask("product.product", ("id",), [(erp_user.products[0],)]))
    await reader.close()
    [(_, stock)] = named(rows, "id", "quantity")
    assert Decimal(stock) >= 9_000


async def test_fields_that_come_and_go_are_followed(tryton: Tryton, erp_user: ErpUser) -> None:
    """As when the ERP's modules are updated, which a proxy shows here; the refusal is the ERP's own."""
    key = erp_user.sell()
    between = HttpProxy(tryton.address)
    described: dict[str, str | None] = {"add": "gone_field", "remove": None}

    def describe_otherwise(request: ForwardedRequest) -> CannedResponse | None:
        if b".fields_get" not in request.body:
            return None
        headers = {n: v for n, v in request.headers.items() if n in FORWARDED_HEADERS}
        answer = httpx.post(
            f"{tryton.address}{request.path}", content=request.body, headers=headers, timeout=60
        ).json()
        if added := described["add"]:
            answer["result"][added] = {**answer["result"]["state"], "name": added}
        answer["result"].pop(described["remove"], None)
        content = json.dumps(answer).encode()
        return CannedResponse(200, content, {"Content-Type": "application/json"})

    between.rule = describe_otherwise
    async with between.serving(), reading(between.url(tryton.url)) as reader:
        described["add"], described["remove"] = None, "comment"
        before = (await reader.fetch(Ask("sale.sale", ("id",), [(key,)]))).shape
        described["remove"] = None
        added = (await reader.fetch(Ask("sale.sale", ("comment", "id"), [("", key)]))).shape
        again = (await reader.fetch(Ask("sale.sale", ("id",), [(key,)]))).shape
    described["add"] = "gone_field"
    use = TableUse("sale.sale", (), ("state", "gone_field"))
    async with between.serving(), reading(between.url(tryton.url), use) as reader:
        table = await reader._tables.table("sale.sale")
        described["add"] = None
        rows = await reader.fetch(Ask("sale.sale", ("id",), [(key,)]))
    names = {column.name for column in before.columns}
    assert {column.name for column in added.columns} - names == {"comment"}
    assert again is added
    assert "gone_field" in table.names
    assert "gone_field" not in {column.name for column in rows.shape.columns}
    assert named(rows, "id") == [(key,)]
