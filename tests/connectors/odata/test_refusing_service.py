"""Services that refuse what others take: every row in another way, or a sentence that says why not."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import CREATE, UPDATE, Ask, System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import Rejected
from connectors.odata.capture.options import ODataOptions
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.capture.source import ODataSource
from connectors.odata.connector import connector
from connectors.odata.lookup.reader import ODataReader
from tests.connectors.odata.refusing_service import CHANGED, KEYS, REFUSALS, SETS, RefusingService
from tests.example_counts import examples

EVERY_SET = pytest.mark.parametrize("table", sorted(SETS))


def system_of(service: RefusingService, *tables: str, **options: Any) -> System:
    uses = tuple(TableUse(table) for table in tables)
    parsed_options = ODataOptions.model_validate(
        {"poll": 0.01, "overlap": 5, "reconcile": 600, **options}
    )
    return System("acme", "erp", service.url, service.url, parsed_options, uses, 2)


def keys_of(service: RefusingService, table: str) -> list[tuple[Any, ...]]:
    return sorted(tuple(row[name] for name in KEYS[table]) for row in service.rows[table])


async def walked(
    service: RefusingService, table: str, *, limit: int = 11, **options: Any
) -> list[tuple[Any, ...]]:
    """The keys of a whole snapshot."""
    snapshot = ODataSnapshot(system_of(service, table, **options))
    keys: dict[tuple[Any, ...], None] = {}
    after = None
    try:
        await snapshot.count(table, None)
        while True:
            chunk = await snapshot.chunk(table, None, after, limit)
            names = [column.name for column in chunk.shape.columns]
            places = [names.index(name) for name in KEYS[table]]
            keys |= {tuple(row[index] for index in places): None for row in chunk.rows}
            if chunk.last is None:
                return sorted(keys)
            after = chunk.last
    finally:
        await snapshot.close()


@EVERY_SET
@pytest.mark.parametrize("refusal", ["", *sorted(REFUSALS)])
async def test_a_first_snapshot_is_made_whatever_is_refused(refusal: str, table: str) -> None:
    service = RefusingService(*filter(None, [refusal]))
    async with service.between.serving():
        assert await walked(service, table) == keys_of(service, table)


@settings(max_examples=examples(25), deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(
    refusals=st.sets(st.sampled_from(sorted(REFUSALS)), min_size=2, max_size=5),
    table=st.sampled_from(sorted(SETS)),
    rows=st.integers(0, 23),
    limit=st.integers(1, 30),
    own_pages=st.booleans(),
)
async def test_refusals_together_leave_no_row_out(
    refusals: set[str], table: str, rows: int, limit: int, *, own_pages: bool
) -> None:
    """All rows, or a sentence; what `check` finds agrees with it."""
    service = RefusingService(*refusals, rows=rows, own_pages=own_pages)
    async with service.between.serving():
        findings = await connector.check(system_of(service, table))
        fatal = [finding.what for finding in findings if finding.fatal]
        if fatal:
            with pytest.raises((AnswerMismatch, Rejected)):
                await walked(service, table, limit=limit)
        else:
            assert await walked(service, table, limit=limit) == keys_of(service, table)


async def test_a_top_over_the_limit_of_the_service_is_halved_once() -> None:
    service = RefusingService("top")
    async with service.between.serving():
        assert len(await walked(service, "Notes", limit=100)) == 23
        tops = [text for text in service.refused if "Top query" in text]
        assert len(tops) == 4, "1000, or what is asked for, is halved until it is 10 or less"


async def test_page_is_the_most_that_is_asked_for_at_once() -> None:
    service = RefusingService("top")
    async with service.between.serving():
        assert len(await walked(service, "Notes", limit=100, page=10)) == 23
        assert service.refused == []


async def test_check_names_the_limit_of_rows_and_the_option() -> None:
    service = RefusingService("top")
    async with service.between.serving():
        findings = await connector.check(system_of(service, "Notes"))
        [finding] = [finding for finding in findings if "at a time" in finding.what]
        assert not finding.fatal
        assert "page: " in finding.fix
        assert not [
            finding
            for finding in await connector.check(system_of(service, "Notes", page=10))
            if "at a time" in finding.what
        ]


async def test_or_over_distinct_properties_is_asked_as_ranges_without_links() -> None:
    """Business Central: key by key, so that nothing is read twice when a snapshot is resumed."""
    service = RefusingService("or", own_pages=False)
    async with service.between.serving():
        assert await walked(service, "Items") == keys_of(service, "Items")
        assert sum("OR operator" in text for text in service.refused) <= 2
        assert not any("skiptoken" in request.path for request in service.between.requests)


async def test_check_says_why_a_set_is_read_by_links() -> None:
    service = RefusingService("guids")
    async with service.between.serving():
        findings = await connector.check(system_of(service, "Papers"))
        [finding] = [finding for finding in findings if "paged by its key" in finding.what]
        assert not finding.fatal
        assert "incompatible types" in finding.what


async def test_a_set_that_can_be_read_in_no_way_is_refused_by_check() -> None:
    service = RefusingService("guids", "count", own_pages=False)
    whole = service.answer
    async with service.between.serving():
        service.between.rule = lambda request: _cut(whole(request), request.path)
        findings = await connector.check(system_of(service, "Papers"))
        fatal = [finding.what for finding in findings if finding.fatal]
        assert len(fatal) == 1
        assert "incompatible types" in fatal[0]
        assert "has more" in fatal[0]


def _cut(answer: Any, path: str) -> Any:
    if "Papers" not in path or answer.status != 200:
        return answer
    body = json.loads(answer.body)
    if "value" not in body:
        return answer
    return replace(answer, body=json.dumps({"value": body["value"][:5]}).encode())


async def captured(service: RefusingService, table: str, **options: Any) -> tuple[str, list[Any]]:
    """By what means a set is captured, and what a change of each row tells."""
    system = system_of(service, table, **options)
    means = (await connector.describe_change_detection(system))[table]
    source = ODataSource(system)
    names = [*SETS[table], CHANGED]
    try:
        checkpoint = await source.open(None)
        assert checkpoint
        for number, row in enumerate(service.rows[table]):
            row.update(qty=1000 + number, modifiedAt="2026-05-01T00:01:00Z")
        changes: dict[Any, Any] = {}
        for _ in range(200):
            batch = await source.read(1000, 0.02)
            assert not batch.troubles, batch.troubles
            for change in batch.changes:
                assert change.op in {CREATE, UPDATE}
                row = dict(zip(names, change.new, strict=True))
                changes[tuple(row[name] for name in KEYS[table])] = row["qty"]
            if len(changes) == len(service.rows[table]):
                break
        return means, sorted(changes)
    finally:
        await source.close()


@pytest.mark.parametrize(
    ("refusal", "table"),
    [*itertools.product(["count", "top", "or", "guids", "gt", "null", "in"], ["Items", "Papers"])],
)
async def test_changes_are_told_by_their_time_whatever_of_keys_is_refused(
    refusal: str, table: str
) -> None:
    service = RefusingService(refusal)
    async with service.between.serving():
        means, keys = await captured(service, table)
        assert CHANGED in means
        assert keys == keys_of(service, table)


@pytest.mark.parametrize("refusal", ["time", "order by time", "order", "descending"])
async def test_a_time_that_cannot_be_asked_for_leaves_listings(refusal: str) -> None:
    service = RefusingService(refusal)
    async with service.between.serving():
        _, keys = await captured(service, "Notes")
        assert keys == keys_of(service, "Notes")
        findings = await connector.check(system_of(service, "Notes"))
        assert not [finding.what for finding in findings if finding.fatal]


@pytest.mark.parametrize("own_pages", [True, False])
@pytest.mark.parametrize("refusals", [["top"], ["top", "in"], ["top", "count"]])
async def test_lookups_of_more_rows_than_the_service_gives_at_once_are_whole(
    refusals: list[str], *, own_pages: bool
) -> None:
    service = RefusingService(*refusals, own_pages=own_pages)
    for row in service.rows["Notes"][3:]:
        row["qty"] = 7
    async with service.between.serving():
        reader = ODataReader(system_of(service, "Notes"))
        for limit in (15, 1000, None):
            rows = (await reader.fetch(Ask("Notes", ("qty",), [(7,), (8,)], limit=limit))).rows
            assert len({row[0] for row in rows}) == min(limit or 1000, 20)
        refused = [text for text in service.refused if "Top query" in text]
        assert len(refused) <= 8, "the limit is remembered"
        await reader.close()


@pytest.mark.parametrize("refusal", ["", "or", "guids"])
async def test_times_of_seven_digits_are_asked_by_exactly(refusal: str) -> None:
    """S/4's own: three rows to a microsecond."""
    service = RefusingService(*filter(None, [refusal]), own_pages=bool(refusal))
    for number, row in enumerate(service.rows["Papers"]):
        row[CHANGED] = f"2026-05-01T00:00:00.{1234560 + number * 3:07d}Z"
    async with service.between.serving():
        system = system_of(service, "Papers", page=5)
        source = ODataSource(system)
        await source.open(None)
        for number, row in enumerate(service.rows["Papers"]):
            row |= {"qty": 1000 + number, CHANGED: f"2026-05-01T00:01:00.{number * 3 + 1:07d}Z"}
        rows: list[Any] = []
        looks = 0
        while looks < 6:
            batch = await source.read(1000, 0.02)
            assert not batch.troubles, batch.troubles
            assert not batch.remarks, batch.remarks
            looks = max(looks, batch.polls)
            rows += [change.new for change in batch.changes]
        await source.close()
    assert len(rows) == 23, "each is told once"
    assert {row[1] for row in rows} == set(range(1000, 1023))
    fine = [row[2] for row in rows if isinstance(row[2], str)]
    assert len(fine) > 15
    assert all(len(text) == len("2026-05-01T00:01:00.0000001Z") for text in fine)
