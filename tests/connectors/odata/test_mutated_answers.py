"""Answers that are a little wrong: whatever comes, what is raised is one of the bridge's errors."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.connector import Ask, Done, Effect, Shape, TableUse
from bridge.model.errors import BridgeError, OutcomeUnknown, Rejected, RetryLater
from connectors.http.errors import UnreadableAnswer
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.capture.source import ODataSource
from connectors.odata.commands.writer import ODataWriter
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.protocol import batch
from connectors.odata.protocol.response import ODataResponse, page_of
from tests.connectors.odata.mutated_answers import Mutating
from tests.connectors.odata.order_system import system
from tests.http_proxy import CannedResponse, HttpProxy, Rule
from tests.services.cap import Cap, order_id
from tests.services.odatapy import Odatapy

SEEDS = int(os.environ.get("BRIDGE_TEST_MUTATIONS", "8"))
"""How many wrong answers each kind of question gets."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("id", "status", "headers", "body", "value", "d", "results", "error", "x")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON | st.sampled_from(("1", "2", 1)),
        "status": JSON | st.sampled_from((200, 201, 404, "200")),
        "headers": JSON,
        "body": JSON,
    },
)


@example(responses=[{"status": Decimal("NaN")}], changeset=False)
@example(responses=[{"status": Decimal("Infinity")}], changeset=True)
@given(responses=st.lists(RESPONSES | JSON, max_size=3) | JSON, changeset=st.booleans())
def test_whatever_a_json_batch_answers_is_answers_or_unreadable(
    responses: Any, *, changeset: bool
) -> None:
    try:
        aligned = batch.json_responses({"responses": responses}, 2, changeset=changeset)
    except UnreadableAnswer:
        return
    assert len(aligned) == 2
    for response in aligned:
        assert isinstance(response, ODataResponse)
        assert 100 <= response.status <= 599
        assert all(isinstance(text, str) for pair in response.headers.items() for text in pair)


@pytest.mark.parametrize(
    "headers", [[], [["etag", "1"]], 5, "etag: 1", {"etag": {"a": 1}}, {"etag": [1]}]
)
def test_headers_of_a_json_batch_that_are_none_are_an_answer_that_can_not_be_read(
    headers: Any,
) -> None:
    responses = [{"id": "1", "status": 200, "headers": headers, "body": {}}]
    if not headers:
        assert batch.json_responses({"responses": responses}, 1, changeset=False)[0].headers == {}
        return
    with pytest.raises(UnreadableAnswer):
        batch.json_responses({"responses": responses}, 1, changeset=False)


@pytest.mark.parametrize("headers", [None, {}, {"ETag": 'W/"1"'}, {"ETAG": 'W/"1"', "x-count": 5}])
def test_headers_of_a_json_batch_may_be_missing_and_written_in_any_case(headers: Any) -> None:
    responses = [{"id": "1", "status": 200, "headers": headers, "body": {}}]
    [response] = batch.json_responses({"responses": responses}, 1, changeset=False)
    assert response.headers.get("etag") == ('W/"1"' if headers else None)


@given(
    body=st.dictionaries(
        st.sampled_from(("value", "d", "@odata.nextLink", "@odata.deltaLink")), JSON
    )
)
def test_a_page_has_rows_and_links_or_is_none(body: Any) -> None:
    page = page_of(body)
    if page is not None:
        assert all(isinstance(row, dict) for row in page.rows)
        assert all(link is None or isinstance(link, str) for link in page[1:])


SETS = {"Products": {"change_detection": "listing"}}
Question = Callable[[str], Awaitable[Any]]


def reading(
    table: str, columns: list[str], keys: list[tuple[Any, ...]], **options: Any
) -> Question:
    async def ask(url: str) -> None:
        reader = ODataReader(system(url, options={"timeout": 2} | options))
        try:
            await reader.fetch(Ask(table, columns, keys))
        finally:
            await reader.close()

    return ask


def chunks(table: str) -> Question:
    async def ask(url: str) -> None:
        snapshot = ODataSnapshot(system(url, options={"timeout": 2}))
        try:
            chunk = await snapshot.chunk(table, None, None, 3)
            if chunk.last is not None:
                await snapshot.chunk(table, None, chunk.last, 3)
            await snapshot.keys(table, None, 3)
        finally:
            await snapshot.close()

    return ask


async def counted(url: str) -> None:
    snapshot = ODataSnapshot(system(url, options={"timeout": 2}))
    try:
        await snapshot.count("Orders", None)
    finally:
        await snapshot.close()


def captured(*tables: TableUse, **options: Any) -> Question:
    async def ask(url: str) -> None:
        chosen = {"poll": 0.01, "reconcile": 0.1, "page": 5, "timeout": 2, "sets": SETS}
        source = ODataSource(replace(system(url, options=chosen | options), tables=tables))
        try:
            await source.open(None)
            for _ in range(2):
                await source.read(100, 0.01)
        finally:
            await source.close()

    return ask


def anyhow(shape: Shape | None, row: Any) -> None:
    """A guard that lets every row pass."""
    del shape, row


def carried_out(run: str, *, guarded: bool = False, probed: str = "") -> Question:
    """Also the probe."""

    async def ask(url: str) -> None:
        writer = ODataWriter(system(url, options={"timeout": 2}))
        command = Effect(
            "bot:1",
            "x",
            run,
            {"id": "bot:1", "key": order_id(1), "other": order_id(2)},
            "Orders",
            {"ID": order_id(1)},
            anyhow if guarded else None,
            probe=probed,
        )
        try:
            await writer.prepare()
            for outcome in await writer.execute([command]):
                if isinstance(outcome, Exception):
                    assert isinstance(outcome, BridgeError)
            await writer.probe(command)
        finally:
            await writer.close()

    return ask


IDS = [(order_id(number),) for number in range(6)]
TWO = "PATCH Orders(:key) note='a'; PATCH Orders(:other) note='b'"
QUESTIONS: dict[str, tuple[str, Question]] = {
    "page": ("v4", reading("Orders", ["ID"], IDS)),
    "page v2": ("v2", reading("Orders", ["ID"], IDS)),
    "json batch": ("v4", reading("Orders", ["ID"], IDS, max_url_length=250)),
    "multipart batch": ("v2", reading("Orders", ["ID"], IDS, max_url_length=300)),
    "all": ("v4", reading("Products", [], [])),
    "chunk": ("v4", chunks("Orders")),
    "chunk v2": ("v2", chunks("Lines")),
    "count": ("v4", counted),
    "count v2": ("v2", counted),
    "changes": ("v4", captured(TableUse("Orders"))),
    "changes v2": ("v2", captured(TableUse("Orders"))),
    "listing": ("v4", captured(TableUse("Products"))),
    "write": ("v4", carried_out("PATCH Orders(:key) note='a'", guarded=True)),
    "write v2": ("v2", carried_out("PATCH Orders(:key) note='a'", guarded=True)),
    "change set": ("v4", carried_out(TWO)),
    "change set v2": ("v2", carried_out(TWO, guarded=True)),
    "probe": ("v4", carried_out("CALL Orders(:key)/hold reason='x'", probed="GET Orders note=:id")),
}


@pytest.mark.parametrize("name", QUESTIONS)
async def test_only_errors_of_the_bridge_come_of_answers_that_are_a_little_wrong(
    cap: Cap, name: str
) -> None:
    cap.fill(orders=8, lines=2, products=5, customers=2)
    version, ask = QUESTIONS[name]
    url = cap.url if version == "v4" else cap.v2
    between = Mutating(cap.address)
    async with between.serving():
        await _ask_wrongly(between, between.url(url), ask, refuses=not name.startswith("count"))


async def test_only_errors_of_the_bridge_come_of_delta_responses_that_are_a_little_wrong(
    odatapy: Odatapy,
) -> None:
    with odatapy.client() as client:
        for number in range(5):
            client.post("Orders", json={"ID": str(number), "price": 1.5}).raise_for_status()
    between = Mutating(odatapy.address)
    async with between.serving():
        await _ask_wrongly(between, between.url(odatapy.url), captured(TableUse("Orders")))


async def _ask_wrongly(between: Mutating, url: str, ask: Question, *, refuses: bool = True) -> None:
    """First as it is: that has to go well, or the rest says nothing. `refuses`: some of it is refused; a
    count that can't be read is none.
    """
    await ask(url)
    refused = 0
    for seed in range(SEEDS):
        between.begin(seed)
        try:
            await ask(url)
        except BridgeError:
            refused += 1
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    assert refused or not refuses


@pytest.mark.parametrize(
    ("run", "probed"),
    [
        ("CALL Orders(:key)/hold reason='x'", "GET Orders note=:id"),
        ("POST Orders ID=:key, note='x'", ""),
        ("DELETE Orders(:key)", ""),
    ],
)
@pytest.mark.parametrize(
    "body", ["null", "[]", "5", '{"value": 5}', '{"value": [null]}', "{}", '{"d": null}', ""]
)
async def test_a_probe_takes_no_odd_answer_for_a_no_or_a_yes(
    cap: Cap, run: str, probed: str, body: str
) -> None:
    """A no would send the command twice; a row that is gone would end its DELETE as done."""
    cap.fill(orders=2)
    between = HttpProxy(cap.address)
    async with between.serving():
        writer = ODataWriter(system(between.url(cap.url)))
        await writer.prepare()
        between.rule = lambda _: CannedResponse(
            200, body.encode(), {"Content-Type": "application/json"}
        )
        parameters = {"id": "bot:1", "key": order_id(1)}
        command = Effect("bot:1", "x", run, parameters, "Orders", {"ID": order_id(1)}, probe=probed)
        with pytest.raises(OutcomeUnknown):
            await writer.probe(command)
        await writer.close()


async def test_a_probe_looks_behind_an_empty_page(cap: Cap) -> None:
    """What it asks for may stand on the next one: a service filters what it has read by pages."""
    cap.fill(orders=2)
    body = b'{"value": [{"ID": "1"}]}'
    empty = b'{"value": [], "@odata.nextLink": "Orders?$skiptoken=1"}'
    between = HttpProxy(cap.address)
    async with between.serving():
        writer = ODataWriter(system(between.url(cap.url)))
        await writer.prepare()
        between.rule = lambda request: CannedResponse(
            200,
            body if "skiptoken" in request.path else empty,
            {"Content-Type": "application/json"},
        )
        command = Effect(
            "bot:1", "x", "CALL x", {"id": "bot:1"}, "Orders", {}, probe="GET Orders note=:id"
        )
        assert await writer.probe(command) == Done(rows=1)
        await writer.close()


async def test_a_row_without_its_key_ends_no_snapshot(cap: Cap) -> None:
    """No page begins behind it: the rest of the set would be taken for deleted."""
    cap.fill(orders=3)
    rows = b'{"value": [{"ID": "1", "number": "1"}, {"number": "2"}]}'
    between = HttpProxy(cap.address)
    async with between.serving():
        snapshot = ODataSnapshot(system(between.url(cap.url)))
        await snapshot.count("Orders", None)
        between.rule = lambda _: CannedResponse(200, rows, {"Content-Type": "application/json"})
        with pytest.raises(RetryLater, match=r"a row came without its key.*\(ID\)"):
            await snapshot.chunk("Orders", None, None, 10)
        await snapshot.close()


def answering(method: str, body: bytes) -> Rule:
    """Requests of that method get this answer."""
    answer = CannedResponse(200, body, {"Content-Type": "application/json"})
    return lambda request: answer if request.method == method else None


async def test_what_an_answer_holds_does_not_undo_a_command_that_is_done(cap: Cap) -> None:
    """A row without its key, or none, in the answer to a write says nothing of whether it was done."""
    cap.fill(orders=2)
    between = HttpProxy(cap.address)
    async with between.serving():
        writer = ODataWriter(system(between.url(cap.url)))
        await writer.prepare()
        command = Effect(
            "bot:1",
            "x",
            "PATCH Orders(:key) note='a'",
            {"key": order_id(1)},
            "Orders",
            {"ID": order_id(1)},
        )
        for body in (
            '{"ID": null, "note": "\\ud800"}',
            "[]",
            "7",
            '{"ID": [1]}',
            '{"value": null}',
        ):
            between.rule = answering("PATCH", body.encode())
            [done] = await writer.execute([command])
            assert isinstance(done, Done), done
            if done.result is not None:
                done.result.encode()
        await writer.close()


async def test_an_etag_that_no_request_can_carry_is_never_sent(cap: Cap) -> None:
    """In the parts of a batch it would be the service's own lines."""
    cap.fill(orders=2)
    body = json.dumps({"ID": order_id(1), "@odata.etag": 'x"\r\nX-Evil: 1'}).encode()
    between = HttpProxy(cap.address)
    async with between.serving():
        writer = ODataWriter(system(between.url(cap.url)))
        await writer.prepare()
        between.rule = answering("GET", body)
        command = Effect(
            "bot:1",
            "x",
            TWO,
            {"key": order_id(1), "other": order_id(2)},
            "Orders",
            {"ID": order_id(1)},
            anyhow,
        )
        [refused] = await writer.execute([command])
        assert isinstance(refused, Rejected)
        assert refused.code == "bad_etag"
        assert all(request.method == "GET" for request in between.requests)
        await writer.close()
