"""Services that take what they are told and ignore it: nothing that they say wrongly is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.connector import Ask, Done, Effect, System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.kit.connector.server_lies import ServerLieTests
from bridge.model.errors import ConfigurationError, Rejected, RetryLater, Unsupported
from connectors.odata.capture.options import ODataOptions
from connectors.odata.commands.writer import ODataWriter
from connectors.odata.connector import connector
from connectors.odata.lookup.form_choice import RETRY_IGNORED_S
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.metadata.document import parse_metadata
from connectors.odata.protocol.response import EntityPage, page_of
from tests.connectors.odata.lying_odata import WORDS, LyingODataLegacy
from tests.connectors.odata.lying_service import FEW, LyingService
from tests.http_proxy import standing

BOTH = pytest.mark.parametrize("version", ["v4", "v2"])
#: In no order that anybody would sort them by.
NUMBERS = [7, 2, 29, 11, 5, 23, 17, 0, 19, 3, 13, 28, 1, 8, 26, 4, 22, 9, 15, 6, 25, 10, 27, 12, 24,
           14, 21, 16, 20, 18]  # fmt: skip


def key(number: int) -> str:
    return f"A{number:03}"


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"order_no": key(number), "customer": f"C{number % 3}", "qty": number, **more}


def system_of(service: LyingService, *tables: str, **options: Any) -> System:
    uses = tuple(TableUse(table) for table in tables or ("Suites",))
    parsed_options = ODataOptions.model_validate(
        {"poll": 0.01, "overlap": 0.2, "reconcile": 0.3, **options}
    )
    return System("acme", "erp", service.url, service.url, parsed_options, uses, 2)


class Ticking:
    """A clock that shows a second more each time that somebody looks."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def __call__(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now


@asynccontextmanager
async def lying(*lies: str, version: str = "v4", page: int = 100) -> AsyncIterator[LyingService]:
    service = LyingService(*lies, version=version, page=page)
    async with service.between.serving():
        service.clock = Ticking(datetime.now(UTC) - timedelta(hours=1))
        for table in ("Suites", "Plains"):
            service.write(table, *map(row, NUMBERS))
        service.clock = lambda: datetime.now(UTC)
        yield service


async def numbers(
    reader: ODataReader,
    columns: list[str],
    keys: list[tuple[Any, ...]],
    limit: int | None = None,
) -> list[int]:
    """The rows of a lookup, by their `qty`."""
    rows = await reader.fetch(Ask("Suites", columns, keys, limit=limit))
    index = [column.name for column in rows.shape.columns].index("qty")
    return sorted(raw[index] for raw in rows.rows)


HALF = [(key(number),) for number in range(0, 30, 2)]


@BOTH
async def test_a_service_that_tells_the_truth_is_asked_as_before(version: str) -> None:
    async with lying(version=version) as service:
        reader = ODataReader(system_of(service))
        assert await numbers(reader, ["order_no"], [*HALF, ("Z",)]) == list(range(0, 30, 2))
        assert await numbers(reader, ["customer"], [("C1",)]) == list(range(1, 30, 3))
        assert await numbers(reader, ["customer"], [("C1",)], 4) == sorted([7, 19, 13, 28])
        assert await numbers(reader, ["order_no"], [(key(4),)]) == [4]
        assert await numbers(reader, ["customer"], [("nobody",)]) == []
        assert await numbers(reader, [], []) == list(range(30))
        assert len(service.paths) == 6 + 1, "of all rows it is looked whether there are more"
        await reader.close()


async def test_in_that_is_ignored_is_not_used_again_in_the_system() -> None:
    """Business Central: `get --where status=open` returned all rows."""
    async with lying("in") as service:
        reader = ODataReader(system_of(service))
        assert await numbers(reader, ["customer"], [("C1",), ("C2",)]) == [
            number for number in range(30) if number % 3
        ]
        service.between.requests.clear()
        assert await numbers(reader, ["order_no"], HALF) == list(range(0, 30, 2))
        assert [" in " in path for path in service.paths] == [False]
        await reader.close()


@BOTH
async def test_filters_that_are_ignored_leave_reads_by_key_and_else_a_refusal(version: str) -> None:
    async with lying("filter", version=version) as service:
        now = 0.0
        reader = ODataReader(system_of(service), monotonic=lambda: now)
        assert await numbers(reader, ["order_no"], [*HALF, ("Z",)]) == list(range(0, 30, 2))
        with pytest.raises(
            AnswerMismatch, match=r"Suites can't be looked up by customer.*\$filter"
        ):
            await numbers(reader, ["customer"], [("C1",)])
        service.between.requests.clear()
        with pytest.raises(AnswerMismatch, match=r"ignores `\$filter`"):
            await numbers(reader, ["customer"], [("C2",)], 5)
        assert service.paths == []
        service.lies.clear()
        now = RETRY_IGNORED_S
        assert await numbers(reader, ["customer"], [("C1",)]) == list(range(1, 30, 3))
        await reader.close()


async def test_filters_that_find_nothing_are_not_taken_for_an_empty_answer() -> None:
    async with lying("filter finds nothing") as service:
        reader = ODataReader(system_of(service))
        with pytest.raises(AnswerMismatch, match="customer"):
            await numbers(reader, ["customer"], [("C1",)])
        assert await numbers(reader, ["order_no"], HALF) == list(range(0, 30, 2))
        service.sets["Plains"].clear()
        assert (await reader.fetch(Ask("Plains", ("customer",), [("C1",)]))).rows == []
        await reader.close()


@BOTH
@pytest.mark.parametrize("lies", [["pages cut"], ["pages cut", "count ignored"]])
async def test_an_answer_that_is_cut_without_a_link_is_read_to_its_end(
    version: str, lies: list[str]
) -> None:
    async with lying(*lies, version=version) as service:
        reader = ODataReader(system_of(service))
        assert await numbers(reader, ["order_no"], HALF) == list(range(0, 30, 2))
        assert await numbers(reader, ["customer"], [("C1",)]) == list(range(1, 30, 3))
        assert len(await numbers(reader, ["customer"], [("C1",)], FEW + 2)) == FEW + 2
        assert await numbers(reader, [], []) == list(range(30))
        await reader.close()


@pytest.mark.parametrize("lie", ["count", "count ignored", "order", "not null", "greater", "top"])
async def test_lies_that_lookups_do_not_meet_cost_them_nothing_right(lie: str) -> None:
    async with lying(lie) as service:
        reader = ODataReader(system_of(service))
        assert await numbers(reader, ["order_no"], HALF) == list(range(0, 30, 2))
        assert await numbers(reader, ["customer"], [("C1",)]) == list(range(1, 30, 3))
        assert len(await numbers(reader, ["customer"], [("C1",)], 4)) == 4
        await reader.close()


async def test_another_row_than_the_one_with_the_key_is_none() -> None:
    async with lying("filter", "key") as service:
        reader = ODataReader(system_of(service))
        with pytest.raises(AnswerMismatch, match="another row than the one with that key"):
            await numbers(reader, ["order_no"], [(key(4),)])
        await reader.close()


# -- commands ------------------------------------------------------------------------------

POST = "POST Plains order_no=:key, customer=:customer"
PROBE = "GET Plains customer=:customer"


async def probed(service: LyingService, statement: str, probe: str = "", **values: Any) -> Any:
    writer = ODataWriter(system_of(service, "Plains"))
    wanted = {"key": "Z1", "customer": "nobody", **values}
    effect = Effect(
        "a:1", "d", statement, wanted, "Plains", {"order_no": wanted["key"]}, probe=probe
    )
    try:
        return await writer.probe(effect)
    except Unsupported as error:
        return str(error)
    finally:
        await writer.close()


@BOTH
async def test_a_post_that_never_happened_is_not_found_by_a_row_that_nobody_asked_for(
    version: str,
) -> None:
    """SAP Gateway leaves `$filter` to the developer: it was `succeeded, reconciled`."""
    async with lying(version=version) as service:
        assert await probed(service, POST, PROBE) is None
        assert isinstance(await probed(service, POST, PROBE, customer="C1"), Done)
        for lie in ("filter", "filter finds nothing"):
            service.lies = {lie}
            outcome = await probed(service, POST, PROBE)
            assert isinstance(outcome, str)
            assert "ignores `$filter` of Plains" in outcome
        service.lies = {"filter finds nothing"}
        service.sets["Plains"].clear()
        assert await probed(service, POST, PROBE) is None


async def test_a_probe_by_key_believes_no_other_row() -> None:
    async with lying("key") as service:
        for statement in (POST, "DELETE Plains(:key)", "PATCH Plains(:key) customer=:customer"):
            assert "another row" in await probed(service, statement)
        assert "another row" in await probed(service, POST, "GET Plains(:key)")


async def test_a_guard_is_not_asked_about_another_row() -> None:
    async with lying("key") as service:
        writer = ODataWriter(system_of(service, "Plains"))
        rows: list[Any] = []
        statement = "PATCH Plains(:key) customer='x'"
        effect = Effect(
            "a:1", "d", statement, {"key": key(4)}, "Plains", {"order_no": key(4)},
            lambda _, raw: rows.append(raw),
        )  # fmt: skip
        [outcome] = await writer.execute([effect])
        await writer.close()
        assert isinstance(outcome, Rejected)
        assert outcome.code == "answer_mismatch"
        assert (rows, [request.method for request in service.between.requests]) == ([], ["GET"] * 2)


# -- V3 --------------------------------------------------------------------------------------

V3 = """<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">
 <edmx:DataServices xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" {version}>
  <Schema Namespace="erp" xmlns="http://schemas.microsoft.com/ado/{schema}/edm">
   <EntityType Name="T"><Key><PropertyRef Name="id"/></Key>
    <Property Name="id" Type="Edm.Int32" Nullable="false"/></EntityType>
   <EntityContainer Name="C"><EntitySet Name="Things" EntityType="erp.T"/></EntityContainer>
  </Schema></edmx:DataServices></edmx:Edmx>"""


@pytest.mark.parametrize(
    ("version", "schema"),
    [
        ('m:DataServiceVersion="3.0" m:MaxDataServiceVersion="3.0"', "2008/09"),
        ('m:DataServiceVersion="3.0;NetFx"', "2008/09"),
        ('m:DataServiceVersion="1.0" m:MaxDataServiceVersion="3.0"', "2009/11"),
    ],
)
def test_a_service_of_v3_is_refused(version: str, schema: str) -> None:
    """Taken for V2, its links to further pages were not seen: 20 of 45 rows."""
    with pytest.raises(ConfigurationError, match=r"V3.*V2 and V4"):
        parse_metadata(V3.format(version=version, schema=schema).encode())


def test_a_service_of_v2_that_could_also_speak_v3_is_taken() -> None:
    text = V3.format(version='m:MaxDataServiceVersion="3.0"', schema="2008/09")
    assert parse_metadata(text.encode()).version == "v2"
    page = page_of({"odata.metadata": "x", "value": [], "odata.nextLink": "y", "odata.count": "7"})
    assert page == EntityPage([], "y", None, 7)


# -- the connectors' suite -------------------------------------------------------------------


class Lying(ServerLieTests):
    connector = connector
    lies = tuple(WORDS)
    set = "Suites"
    version = "v4"

    @pytest.fixture
    def lying(self) -> Iterator[LyingODataLegacy]:
        service = LyingService(version=self.version, page=6)
        with standing(service.between):
            yield LyingODataLegacy(service, self.set)

    @pytest.fixture
    def fresh(self, lying: LyingODataLegacy) -> LyingODataLegacy:
        return lying


class TestLyingTimesOfChange(Lying):
    connector = connector


class TestLyingListing(Lying):
    connector = connector
    set = "Plains"


class TestLyingV2(Lying):
    connector = connector
    version = "v2"


@pytest.mark.parametrize("columns", [["customer"], []])
async def test_rows_that_come_twice_leave_none_out_below_the_limit(columns: list[str]) -> None:
    """A cut answer looked whole: a row that came twice took another one's place."""
    async with lying() as service:
        reader = ODataReader(system_of(service))
        find, every_row = reader._find, reader._complete.every_row

        async def find_twice(table: Any, names: Any, keys: Any, limit: Any) -> Any:
            rows = await find(table, names, keys, limit)
            return [rows[0], *rows][:limit]

        async def every_row_twice(table: Any, size: int, limit: Any) -> Any:
            rows = await every_row(table, size, limit)
            return [rows[0], *rows][:limit]

        reader._find = find_twice  # type: ignore[method-assign, assignment]
        reader._complete.every_row = every_row_twice  # type: ignore[method-assign, assignment]
        keys = [("C1",)] if columns else []
        right = list(range(1, 30, 3)) if columns else list(range(30))
        for limit in (len(right) - 1, len(right), len(right) + 1, len(right) + 2, None):
            rows = await numbers(reader, columns, keys, limit)
            assert len(rows) == min(len(right), limit or 100), limit
            assert set(rows) <= set(right)
        await reader.close()


async def test_a_set_whose_rows_keep_coming_twice_is_read_later() -> None:
    async with lying() as service:
        reader = ODataReader(system_of(service))
        find = reader._find

        async def find_one(table: Any, names: Any, keys: Any, limit: Any) -> Any:
            return (await find(table, names, keys, 1)) * limit

        reader._find = find_one  # type: ignore[method-assign, assignment]
        with pytest.raises(RetryLater, match="some of its rows came twice"):
            await numbers(reader, ["customer"], [("C1",)], 3)
        await reader.close()
