"""An ERP that ignores conditions, orders or limits: nothing that it says wrongly is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bridge.connector import Ask, Batch, Done, Effect, System, TableUse
from bridge.connector.answer_check import AnswerMismatch
from bridge.kit.connector.server_lies import ServerLieTests
from bridge.model.errors import BridgeError, Rejected, Unsupported
from connectors.tryton.capture.snapshot import TrytonSnapshot
from connectors.tryton.capture.source import TrytonSource
from connectors.tryton.commands.writer import TrytonWriter
from connectors.tryton.connector import connector
from connectors.tryton.options import TrytonOptions
from connectors.tryton.protocol.domain_check import may_satisfy
from connectors.tryton.reader import TrytonReader
from tests.connectors.tryton.kit_system import QUICK, capturer
from tests.connectors.tryton.lying import QUESTION_PARTS, LyingTryton, LyingTrytonLegacy, row
from tests.http_proxy import standing
from tests.services.tryton import Tryton
from tests.waiting import until

MODEL = "kit.order"
ROWS = 10
CUTS = ("pages cut", "top")
WRONG_ROWS = ("filter", "every filter")


@asynccontextmanager
async def lying(erp: Tryton, *lies: str) -> AsyncIterator[tuple[LyingTryton, System, list[int]]]:
    if left := erp.rpc.search(MODEL):
        erp.rpc.call(f"model.{MODEL}.delete", left)
    ids = erp.rpc.call(f"model.{MODEL}.create", [row(number) for number in range(ROWS)])
    service = LyingTryton(erp, MODEL, *lies)
    try:
        async with service.serving():
            url = service.url(erp.url_of(capturer(erp)))
            options = TrytonOptions.model_validate(QUICK)
            of = System("kit", "erp", url, "http://erp/", options, (TableUse(MODEL),), 2)
            yield service, of, ids
    finally:
        service.close()


async def numbers(of: System, columns: list[str], keys: list[Any], limit: int | None = None) -> Any:
    reader = TrytonReader(of)
    try:
        rows = await reader.fetch(Ask(MODEL, columns, [(key,) for key in keys], limit=limit))
        index = [column.name for column in rows.shape.columns].index("qty")
        return sorted(raw[index] for raw in rows.rows)
    finally:
        await reader.close()


@pytest.mark.parametrize("lie", ["", *CUTS])
async def test_an_answer_that_is_cut_is_read_to_its_end(tryton: Tryton, lie: str) -> None:
    async with lying(tryton, *filter(None, [lie])) as (_, of, ids):
        assert await numbers(of, ["id"], ids) == list(range(ROWS))
        assert await numbers(of, ["customer"], ["C0"]) == [0, 3, 6, 9]
        assert await numbers(of, [], [], 5) == [0, 1, 2, 3, 4]
        assert await numbers(of, [], []) == list(range(ROWS))


@pytest.mark.parametrize("lie", WRONG_ROWS)
async def test_rows_that_nobody_asked_for_are_refused(tryton: Tryton, lie: str) -> None:
    async with lying(tryton, lie) as (_, of, ids):
        with pytest.raises(AnswerMismatch, match="ignores the condition on customer"):
            await numbers(of, ["customer"], ["C0"])
        if lie == "filter":
            assert await numbers(of, ["id"], ids[:2]) == [0, 1]


async def walked(of: System, **where: Any) -> list[int]:
    snapshot = TrytonSnapshot(of)
    keys: list[int] = []
    after = None
    try:
        while True:
            chunk = await snapshot.chunk(MODEL, where or None, after, 4)
            assert len(chunk.rows) <= 4
            keys += [raw[0] for raw in chunk.rows]
            if chunk.last is None:
                return keys
            after = chunk.last
    finally:
        await snapshot.close()


@pytest.mark.parametrize("lie", ["", *CUTS, "order", *WRONG_ROWS, "filter finds nothing"])
async def test_a_snapshot_is_never_done_with_fewer_rows(tryton: Tryton, lie: str) -> None:
    async with lying(tryton, *filter(None, [lie])) as (_, of, ids):
        if lie in {"order", "every filter"}:
            with pytest.raises(AnswerMismatch, match=r"another order|unrequested"):
                await walked(of)
        elif lie == "filter finds nothing":
            with pytest.raises(AnswerMismatch, match="find them by their ids"):
                await walked(of)
        else:
            assert await walked(of) == ids
        if lie in WRONG_ROWS:
            with pytest.raises(AnswerMismatch, match="customer"):
                await walked(of, customer="C0")


@pytest.mark.parametrize("lie", ["", *CUTS, "order", *WRONG_ROWS, "filter finds nothing"])
async def test_capture_tells_what_happened_or_why_it_cannot(tryton: Tryton, lie: str) -> None:
    async with lying(tryton) as (service, of, ids):
        service.lies = {lie} & set(CUTS)
        source = TrytonSource(of)
        await source.open(None)
        service.lies = set(filter(None, [lie]))
        tryton.rpc.call(f"model.{MODEL}.create", [row(40)])
        tryton.rpc.call(f"model.{MODEL}.write", [ids[3]], {"qty": 33})
        emitted: set[Any] = set()
        troubles: set[str] = set()

        async def read() -> bool:
            try:
                batch: Batch = await source.read(100, 0.1)
            except BridgeError as error:
                troubles.add(str(error))
                return True
            emitted.update((change.op, tuple(change.new or ())[:1]) for change in batch.changes)
            troubles.update(batch.troubles.values(), (stale.reason for stale in batch.stale))
            return len(emitted) >= 2 or bool(troubles)

        await until(read, describe=lambda: emitted)
        await source.close()
        assert not [op for op, _ in emitted if op == 3], "nothing was deleted"
        if lie in {"", *CUTS}:
            assert not troubles


async def probed(of: System, statement: str, probe: str = "", **values: Any) -> Any:
    writer = TrytonWriter(of)
    effect = Effect("a:1", "d", statement, {"id": "a:1", **values}, MODEL, {}, probe=probe)
    try:
        return await writer.probe(effect)
    except Unsupported as error:
        return str(error)
    finally:
        await writer.close()


async def test_a_probe_takes_no_other_row_for_a_hit_nor_an_empty_answer_for_a_miss(
    tryton: Tryton,
) -> None:
    create, probe = f"create {MODEL} order_no=:id", f"find {MODEL} customer=:customer"
    async with lying(tryton) as (service, of, ids):
        assert await probed(of, create, probe, customer="nobody") is None
        assert isinstance(await probed(of, create, probe, customer="C1"), Done)
        for lie in ("filter", "filter finds nothing"):
            service.lies = {lie}
            assert "condition on" in await probed(of, create, probe, customer="nobody")
        service.lies = {"filter finds nothing"}
        assert "condition on" in await probed(of, f"delete {MODEL}(:key)", key=ids[0])
        service.lies = {"every filter"}
        writer = TrytonWriter(of)
        effect = Effect(
            "a:1", "d", f"write {MODEL}(:key) qty=5", {"key": ids[4]}, MODEL, {"id": ids[4]}
        )
        [outcome] = await writer.execute([effect])
        await writer.close()
        assert isinstance(outcome, Rejected)
        assert outcome.code == "answer_mismatch"
    assert {row_values["qty"] for row_values in tryton.rpc.read(MODEL, ids, "qty")} == set(
        range(ROWS)
    )


async def test_check_asks_every_question_once(tryton: Tryton) -> None:
    async with lying(tryton) as (service, of, _):
        assert not [finding for finding in await connector.check(of) if finding.fatal]
        for lie in ("order", "every filter", "filter finds nothing"):
            service.lies = {lie}
            assert any(
                MODEL in finding.what for finding in await connector.check(of) if finding.fatal
            ), lie


@pytest.mark.parametrize(
    ("domain", "holds"),
    [
        ([], True),
        ([["a", "=", 1]], True),
        ([["a", "=", 2]], False),
        ([["a", "in", [2, 1]], ["b", "=", "X "]], True),
        (["OR", [["a", "=", 2]], [["b", "=", "x"]]], True),
        (["OR", [["a", "=", 2]], [["b", "=", "y"]]], False),
        ([["OR", ["a", "=", 2], ["a", ">", 0]], ["a", "<", 1]], False),
        ([["c", "=", False]], True),
        ([["c", "!=", None]], False),
        ([["c", ">", 3]], False),
        ([["party.code", "=", "z"]], True),
        ([["d", "=", "not there"]], True),
    ],
)
def test_a_row_that_certainly_does_not_fit_is_told(domain: list[Any], holds: bool) -> None:
    assert may_satisfy({"id": 1, "a": 1, "b": "x", "c": None}, domain) == holds


class TestLying(ServerLieTests):
    connector = connector
    lies = tuple(QUESTION_PARTS)

    @pytest.fixture
    def lying(self, tryton: Tryton) -> Iterator[LyingTrytonLegacy]:
        service = LyingTryton(tryton, MODEL)
        with standing(service.between):
            yield LyingTrytonLegacy(tryton, service)
        service.close()

    @pytest.fixture
    def fresh(self, lying: LyingTrytonLegacy) -> LyingTrytonLegacy:
        return lying
