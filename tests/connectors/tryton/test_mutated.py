"""Answers of Tryton that are a little wrong: whatever comes, what is raised is one of the bridge's."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from bridge.connector import Ask, Effect, TableUse
from bridge.model.errors import MAX_RETRY_AFTER_S, BridgeError, OutcomeUnknown, Rejected, RetryLater
from connectors.http import json_values
from connectors.tryton.capture.poll import PollQueries
from connectors.tryton.capture.snapshot import TrytonSnapshot
from connectors.tryton.capture.source import TrytonSource
from connectors.tryton.commands.writer import TrytonWriter
from connectors.tryton.connector import connector
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.reader import TrytonReader
from tests.connectors.odata.mutated_answers import Mutating
from tests.connectors.tryton.erp import system
from tests.connectors.tryton.kit_system import capturer
from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy
from tests.services.tryton import Tryton

SEEDS = int(os.environ.get("BRIDGE_TEST_MUTATIONS", "8"))
"""How many wrong answers each kind of question gets."""
ORDER = (TableUse("kit.order"),)
FAST = {"timeout": 2, "poll": 0.05, "reconcile": 0.05, "overlap_interval": 0}
Question = Callable[[str], Awaitable[Any]]


async def read(url: str) -> None:
    reader = TrytonReader(system(url, options=FAST, tables=ORDER))
    try:
        await reader.fetch(Ask("kit.order", ("id",), [(1,), (2,)]))
    finally:
        await reader.close()


async def snapshot(url: str) -> None:
    tryton_snapshot = TrytonSnapshot(system(url, options=FAST, tables=ORDER))
    try:
        await tryton_snapshot.count("kit.order", None)
        await tryton_snapshot.chunk("kit.order", None, None, 2)
    finally:
        await tryton_snapshot.close()


async def capture(url: str) -> None:
    source = TrytonSource(system(url, options=FAST, tables=ORDER))
    try:
        await source.open(None)
        for _ in range(3):
            await source.read(100, 0.1)
    finally:
        await source.close()


async def check(url: str) -> None:
    of = system(url, options=FAST, tables=ORDER)
    await connector.check(of)
    await connector.describe(of)


async def command(url: str) -> None:
    writer = TrytonWriter(system(url, options=FAST, tables=ORDER))
    statement = "WRITE kit.order(:key) qty=1"
    effect = Effect("t:1", "d", statement, {"key": 1}, "kit.order", {"id": 1})
    try:
        await writer.prepare()
        for outcome in await writer.execute([effect]):
            assert not isinstance(outcome, Exception) or isinstance(outcome, BridgeError)
        await writer.probe(effect)
    finally:
        await writer.close()


@pytest.mark.parametrize("question", [read, snapshot, capture, check, command])
async def test_answers_that_are_a_little_wrong_raise_nothing_else(
    tryton: Tryton, question: Question
) -> None:
    tryton.rpc.create("kit.order", {"order_no": "mutated"})
    url = tryton.url_of(capturer(tryton))
    mutating = Mutating(tryton.address)
    async with mutating.serving():
        for seed in range(SEEDS):
            mutating.begin(seed)
            with suppress(BridgeError):
                await question(mutating.url(url))


def answering(say: CannedResponse) -> Callable[[ForwardedRequest], CannedResponse | None]:
    return lambda request: (
        say if b"search_read" in request.body or b".write" in request.body else None
    )


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"Retry-After": "99999999999999999999"}, MAX_RETRY_AFTER_S),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 +9999"}, None),
        ({"Date": "Sun, 06 Nov 1994 08:49:37 +99999999999"}, None),
        ({"Date": "Mon, 01 Jan 0001 00:00:00 +2300"}, None),
    ],
)
async def test_headers_of_an_erp_end_nothing(
    tryton: Tryton, headers: dict[str, str], after: float | None
) -> None:
    async with (
        HttpProxy(tryton.address).serving() as between,
        TrytonClient(system(between.url(tryton.url))) as client,
    ):
        between.rule = answering(CannedResponse(503, b"", headers))
        with pytest.raises(RetryLater) as caught:
            await client.search_read("party.party", [], ["id"])
    assert caught.value.after == after


async def test_what_an_erp_answers_is_bounded(tryton: Tryton) -> None:
    bomb = gzip.compress(b'{"result": [' + b"0," * 40 * 2**20 + b"0]}", 1)
    say = CannedResponse(
        200, bomb, {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    async with (
        HttpProxy(tryton.address).serving() as between,
        TrytonClient(system(between.url(tryton.url))) as client,
    ):
        between.rule = answering(say)
        with pytest.raises(BridgeError, match=r"the answer has .*ask for fewer rows by `page`"):
            await client.search_read("party.party", [], ["id"])
        with pytest.raises(OutcomeUnknown, match="it may have taken effect"):
            await client.call("model.party.party.write", [1], {}, changes=True)


async def test_an_answer_of_too_many_values_is_refused_as_too_large(
    tryton: Tryton, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no reason to doubt the session, as what is no answer at all would be."""
    say = CannedResponse(200, json.dumps({"result": list(range(200))}).encode())
    async with (
        HttpProxy(tryton.address).serving() as between,
        TrytonClient(system(between.url(tryton.url))) as client,
    ):
        monkeypatch.setattr(json_values, "MAX_VALUES", 100)
        between.rule = answering(say)
        with pytest.raises(BridgeError, match=r"more than 100 values; ask for fewer rows"):
            await client.call_model("party.party", "search_read", [])
        with pytest.raises(OutcomeUnknown, match="more than 100 values; it may have taken effect"):
            await client.call("model.party.party.write", [1], {}, changes=True)


@pytest.mark.parametrize("result", [None, 5, "x", [5], [{"id": "1"}], [{}], {"id": 1}, [[1]]])
async def test_what_is_no_list_of_rows_is_refused(tryton: Tryton, result: Any) -> None:
    say = CannedResponse(200, json.dumps({"result": result}).encode())
    async with (
        HttpProxy(tryton.address).serving() as between,
        TrytonClient(system(between.url(tryton.url))) as client,
    ):
        between.rule = answering(say)
        with pytest.raises(BridgeError, match="the answer isn't Tryton's"):
            await client.search_read("party.party", [], ["id"])


async def test_a_newest_row_without_its_time_is_refused(tryton: Tryton) -> None:
    say = CannedResponse(200, json.dumps({"result": [{"id": 1}]}).encode())
    async with (
        HttpProxy(tryton.address).serving() as between,
        TrytonClient(system(between.url(tryton.url))) as client,
    ):
        between.rule = answering(say)
        with pytest.raises(Rejected, match="rows came without the requested write_date"):
            await PollQueries(client).newest_time("party.party")
