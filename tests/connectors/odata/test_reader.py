"""Lookups by the fewest requests that the service takes, counted at the server."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest

from bridge.connector import Ask, Done, Effect, Rows, Shape, TableUse
from bridge.model.errors import Rejected
from bridge.observe import Notice
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.capture.source import ODataSource
from connectors.odata.commands.writer import ODataWriter
from connectors.odata.lookup.form_choice import MAX_SINGLE_LOOKUPS
from connectors.odata.lookup.reader import METADATA_INTERVAL_S, ODataReader
from tests.connectors.odata.order_system import USES, gateway, system
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy
from tests.services.cap import Cap, order_id
from tests.services.odatapy import Odatapy

JSON = {"Content-Type": "application/json"}
IDS = [(order_id(number),) for number in range(500)]


def anyhow(shape: Shape | None, row: Any) -> None:
    """A guard that lets every row pass."""
    del shape, row


def named(rows: Rows, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the rows."""
    names = [column.name for column in rows.shape.columns]
    return [tuple(row[names.index(column)] for column in columns) for row in rows.rows]


def url_of(cap: Cap, version: str) -> str:
    return cap.url if version == "v4" else cap.v2


@pytest.mark.parametrize(("version", "most"), [("v4", 6), ("v2", 12)])
async def test_500_orders_with_lines_and_products_are_a_handful_of_requests(
    cap: Cap, version: str, most: int
) -> None:
    """One by one they are 1 + 500 + 500 + 2,000 requests."""
    cap.fill(orders=500, lines=4, products=50)
    notices: list[Notice] = []
    async with gateway(system(url_of(cap, version)), notices.append) as door:
        cap.reset()
        orders = await door.get_many("order", [key for (key,) in IDS])
        lines = await door.related_many("order", orders, "lines")
        flat = [line for order_lines in lines for line in order_lines]
        products = await door.related_many("line", flat, "product")
        customers = await door.related_many("order", orders, "customer")
        count = cap.count()
    assert [order is not None and order["total"] for order in orders] == [
        Decimal(number * 10) for number in range(500)
    ]
    assert [len(order_lines) for order_lines in lines] == [4] * 500
    assert {str(line["order_id"]) for line in lines[7]} == {order_id(7)}
    assert [product["name"] for product in products[:3]] == [
        f"Product {number}" for number in range(3)
    ]
    assert [customer["name"] for customer in customers[:2]] == ["Customer 0", "Customer 1"]
    requests = count.v4 if version == "v4" else count.v2
    assert requests <= most
    assert all("$select=" in path for path in count.paths if "$filter=" in path)


async def test_a_lookup_that_one_url_holds_is_one_get(cap: Cap) -> None:
    cap.fill(orders=20)
    reader = ODataReader(system(cap.url))
    await reader.fetch(Ask("Orders", ("ID",), IDS[:1]))
    cap.reset()
    rows = await reader.fetch(Ask("Orders", ("ID",), [*IDS[:20], (order_id(99),)]))
    await reader.close()
    assert sorted(named(rows, "ID")) == IDS[:20]
    [path] = cap.count().paths
    select = path.partition("$select=")[2].partition("&")[0]
    assert sorted(select.split(",")) == sorted(USES[0].columns)


async def test_a_service_that_knows_no_in_is_asked_by_or_and_that_is_remembered(cap: Cap) -> None:
    cap.fill(orders=3)

    def old(request: ForwardedRequest) -> CannedResponse | None:
        refusal = b'{"error": {"code": "400", "message": "in: unknown operator"}}'
        is_known = "%20in%20" not in request.path
        return (
            None if is_known else CannedResponse(400, refusal, {"Content-Type": "application/json"})
        )

    async with HttpProxy(cap.address).serving() as between:
        between.rule = old
        reader = ODataReader(system(between.url(cap.url)))
        for _ in range(3):
            assert len((await reader.fetch(Ask("Orders", ("ID",), IDS[:3]))).rows) == 3
        await reader.close()
    reads = [request.path for request in between.requests if "$filter" in request.path]
    assert [" in " if "%20in%20" in path else " or " for path in reads] == [
        " in ",
        " or ",
        " or ",
        " or ",
    ]


async def test_a_service_without_filters_and_batches_is_asked_by_key(cap: Cap) -> None:
    cap.fill(orders=3)

    def poor(request: ForwardedRequest) -> CannedResponse | None:
        poor = "$filter" in request.path or "$batch" in request.path
        return CannedResponse(501, b"no", {"Content-Type": "text/plain"}) if poor else None

    async with HttpProxy(cap.address).serving() as between:
        between.rule = poor
        reader = ODataReader(system(between.url(cap.url)))
        keys = [*IDS[:3], (order_id(77),)]
        assert len((await reader.fetch(Ask("Orders", ("ID",), keys))).rows) == 3
        between.requests.clear()
        assert len((await reader.fetch(Ask("Orders", ("ID",), keys))).rows) == 3
        assert [request.path.partition("?")[0][-4:] for request in between.requests] == [
            "000)",
            "001)",
            "002)",
            "077)",
        ]
        with pytest.raises(Rejected, match="can't be looked up by customer_ID"):
            await reader.fetch(Ask("Orders", ("customer_ID",), [("C0",)]))
        await reader.close()


async def test_reads_of_a_service_with_json_of_its_own_are_the_same(odatapy: Odatapy) -> None:
    with odatapy.client() as client:
        for number in range(120):
            row = {"ID": str(number), "customer_ID": f"C{number % 3}", "price": 1.5}
            client.post("Orders", json=row).raise_for_status()
    reader = ODataReader(
        replace(
            system(odatapy.url, options={"max_url_length": 300}),
            tables=(TableUse("Orders", (), ("ID", "status", "price")),),
        )
    )
    await reader.fetch(Ask("Orders", ("ID",), [("1",)]))
    odatapy.reset()
    rows = await reader.fetch(Ask("Orders", ("ID",), [(str(number),) for number in range(120)]))
    await reader.close()
    assert named(rows, "ID", "status", "price")[0] == ("0", None, Decimal("1.5"))
    assert (len(rows.rows), odatapy.count()) == (120, 1)


async def test_rows_of_composite_keys_and_of_several_columns_are_found(cap: Cap) -> None:
    cap.fill(orders=3, lines=2)
    for url in (cap.url, cap.v2):
        reader = ODataReader(system(url))
        keys: list[tuple[Any, ...]] = [(order_id(1), 0), (order_id(2), 1), (order_id(2), 9)]
        rows = await reader.fetch(Ask("Lines", ("order_ID", "position"), keys))
        assert sorted(named(rows, "order_ID", "position")) == keys[:2]
        both = await reader.fetch(
            Ask("Orders", ("customer_ID", "status"), [("C1", "O"), ("C2", "C")])
        )
        assert named(both, "number") == [("0000000001",)]
        await reader.close()


async def test_an_answer_of_many_pages_is_followed_to_its_end(private_cap: Any) -> None:
    cap = private_cap(page=7)
    cap.fill(orders=30, customers=1)
    for url in (cap.url, cap.v2):
        reader = ODataReader(system(url))
        assert len((await reader.fetch(Ask("Orders", ("customer_ID",), [("C0",)]))).rows) == 30
        assert len((await reader.fetch(Ask("Orders"))).rows) == 30
        assert len((await reader.fetch(Ask("Orders", limit=9))).rows) == 9
        await reader.close()


async def test_a_key_that_cannot_be_asked_for_is_rejected_and_the_reader_goes_on(cap: Cap) -> None:
    cap.fill(orders=2)
    reader = ODataReader(system(cap.url))
    with pytest.raises(Rejected, match=r"no Edm\.Guid"):
        await reader.fetch(Ask("Orders", ("ID",), [("not a guid",), IDS[0]]))
    with pytest.raises(Rejected, match="no property 'nope'"):
        await reader.fetch(Ask("Orders", ("nope",), [("x",)]))
    assert len((await reader.fetch(Ask("Orders", ("ID",), IDS[:2]))).rows) == 2
    assert (await reader.fetch(Ask("Orders", ("customer_ID",), [(None,)]))).rows == []
    await reader.close()


async def test_quotes_slashes_and_percent_signs_in_keys_are_the_keys_own(cap: Cap) -> None:
    odd = ["o'dd", "a/b", "50%", "a&b=c", "x y", "ü+", "a#b?", "(1)"]
    with cap.client() as client:
        for key in odd:
            client.post("Suites", json={"order_no": key, "qty": 1}).raise_for_status()
    for url in (cap.url, cap.v2):
        reader = ODataReader(system(url))
        rows = await reader.fetch(Ask("Suites", ("order_no",), [(key,) for key in odd]))
        assert sorted(named(rows, "order_no")) == sorted((key,) for key in odd)
        await reader.close()


async def test_an_entity_set_that_refuses_filters_says_nothing_of_the_others(cap: Cap) -> None:
    """Some sets of a service can be reached by their rows alone; lookups by references would end."""
    cap.fill(orders=3, customers=2)

    def poor(request: ForwardedRequest) -> CannedResponse | None:
        return CannedResponse(400, b"{}", JSON) if "Customers?" in request.path else None

    between = HttpProxy(cap.address)
    async with between.serving():
        between.rule = poor
        reader = ODataReader(system(between.url(cap.url)))
        assert len((await reader.fetch(Ask("Customers", ("ID",), [("C0",), ("C1",)]))).rows) == 2
        assert (
            len((await reader.fetch(Ask("Orders", ("customer_ID",), [("C0",), ("C1",)]))).rows) == 3
        )
        between.requests.clear()
        assert len((await reader.fetch(Ask("Orders", ("ID",), IDS[:3]))).rows) == 3
        assert len(between.requests) == 1
        await reader.close()


async def test_a_key_that_filters_refuse_does_not_end_filters_for_good(cap: Cap) -> None:
    """An agent may ask for any key; from then on each lookup would be one read a key."""
    cap.fill(orders=3)

    def strict(request: ForwardedRequest) -> CannedResponse | None:
        bad = "$filter" in request.path and order_id(999) in request.path
        return CannedResponse(400, b"{}", JSON) if bad else None

    between = HttpProxy(cap.address)
    async with between.serving():
        between.rule = strict
        reader = ODataReader(system(between.url(cap.url)))
        assert (await reader.fetch(Ask("Orders", ("ID",), [(order_id(999),)]))).rows == []
        for _ in range(MAX_SINGLE_LOOKUPS + 2):
            await reader.fetch(Ask("Orders", ("ID",), IDS[:1]))
        between.requests.clear()
        assert len((await reader.fetch(Ask("Orders", ("ID",), IDS[:3]))).rows) == 3
        assert "$filter" in between.requests[0].path
        await reader.close()


@pytest.mark.parametrize("version", ["v4", "v2"])
async def test_no_url_is_too_long_because_of_its_many_columns(cap: Cap, version: str) -> None:
    """Naming columns saves bytes; without them all come, and those that nobody wants are left alone."""
    cap.fill(orders=30, lines=1)
    of = system(url_of(cap, version), options={"max_url_length": 200})
    reader = ODataReader(of)
    writer, snapshot = ODataWriter(of), ODataSnapshot(of)
    source = ODataSource(of)
    await reader.fetch(Ask("Orders", ("ID",), IDS[:1]))
    cap.reset()
    rows = await reader.fetch(Ask("Orders", ("ID",), IDS[:30]))
    assert sorted(named(rows, "ID")) == IDS[:30]
    assert {column.name for column in rows.shape.columns} == set(USES[0].columns)
    chunk = await snapshot.chunk("Orders", None, None, 10)
    assert len(chunk.rows[0]) == len(USES[0].columns)
    await source.open(None)
    key = {"ID": order_id(1)}
    update = Effect(
        "x", "x", "PATCH Orders(:key) note='x'", {"key": key["ID"]}, "Orders", key, anyhow
    )
    [done] = await writer.execute([update])
    assert isinstance(done, Done), done
    for part in (reader, writer, snapshot, source):
        await part.close()
    paths = [path for path in cap.count().paths if "Orders" in path]
    assert paths
    long = [path for path in paths if len(cap.address + path.partition(" ")[2]) > 200]
    # Where the next page begins takes its room, whatever is asked for.
    beyond = [path for path in long if "%20gt%20" in path or "%20lt%20" in path]
    assert [path for path in long if "$select" in path or path not in beyond] == []
    assert any("$select" in path for path in paths)
    assert any("$filter" in path and "$select" not in path for path in paths)


async def test_properties_that_come_and_go_are_followed(cap: Cap) -> None:
    """As when the service is deployed again, which a proxy shows here; the refusal is the service's."""
    cap.fill(orders=1)
    between = HttpProxy(cap.address)
    documents = 0
    marker, gone = '<Property Name="total"', '<Property Name="goneProperty" Type="Edm.String"/>'
    described = gone + marker

    def describe_otherwise(request: ForwardedRequest) -> CannedResponse | None:
        nonlocal documents
        if not request.path.endswith("$metadata"):
            return None
        documents += 1
        login = {n: v for n, v in request.headers.items() if n == "authorization"}
        answer = httpx.get(f"{cap.address}{request.path}", headers=login, timeout=60)
        assert marker in answer.text
        content = answer.text.replace(marker, described).encode()
        return CannedResponse(200, content, {"Content-Type": "application/xml"})

    between.rule = describe_otherwise
    now = 0.0
    async with between.serving():
        served = replace(system(between.url(cap.url)), tables=(TableUse("Orders", ("ID",)),))
        reader = ODataReader(served, monotonic=lambda: now)
        before = (await reader.fetch(Ask("Orders", ("ID",), ()))).shape
        described = marker
        rows = await reader.fetch(Ask("Orders", ("ID",), IDS[:1]))
        for _ in range(3):
            with pytest.raises(Rejected, match="no property 'laterProperty'"):
                await reader.fetch(Ask("Orders", ("laterProperty",), [("x",)]))
        once = documents
        now += METADATA_INTERVAL_S
        with pytest.raises(Rejected, match="no property 'laterProperty'"):
            await reader.fetch(Ask("Orders", ("laterProperty",), [("x",)]))
        again = await reader.fetch(Ask("Orders", ("ID",), IDS[:1]))
        await reader.close()
    names, later = ({column.name for column in shape.columns} for shape in (before, rows.shape))
    assert names - later == {"goneProperty"}
    assert named(rows, "ID") == IDS[:1]
    assert (once, documents) == (2, 3)
    assert again.shape is rows.shape
