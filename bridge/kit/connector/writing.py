"""A Writer takes effect once; without a ledger it can find out what it did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import pytest

from bridge.connector import Ask, Capabilities, Done, Effect, LedgerWriter, Shape, Writer
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.legacy import KEY, Create, LegacySystem, Update
from bridge.kit.connector.random_load import order
from bridge.kit.connector.records import RecordDecoder
from bridge.kit.connector.stream import streaming
from bridge.model.errors import Fenced, Rejected, Unsupported

Guard = Callable[[Shape | None, Any], None]
MISSING_ROW_KEY = 999_999_999
"""A key that no row has, where the system assigns keys."""


@runtime_checkable
class DeclaresProbe(Protocol):
    """A Legacy whose command has a declared probe, for connectors without a ledger."""

    def probe_qty(self) -> str:
        """The probe that finds out whether `qty` is `:qty` where the key is `:key`."""


async def own_key(legacy: LegacySystem, number: int) -> Any:
    """What the system's own key of a row is, asked of the system where it gives them itself."""
    if legacy.key == KEY:
        return order(number)[KEY]
    reader = await legacy.connector.reader(legacy.system())
    try:
        answer = await reader.fetch(Ask(legacy.table, (KEY,), [(order(number)[KEY],)]))
    finally:
        await reader.close()
    at = [column.name for column in answer.shape.columns].index(legacy.key)
    return answer.rows[0][at] if answer.rows else MISSING_ROW_KEY


async def set_qty(
    legacy: LegacySystem, command: str, qty: int, number: int = 1, guard: Guard | None = None
) -> Effect:
    """A command that sets `qty` of a row."""
    key = await own_key(legacy, number)
    return Effect(
        command,
        f"{order(number)[KEY]}/{qty}",
        legacy.set_qty(),
        {"id": command, "key": key, "qty": qty},
        legacy.table,
        {legacy.key: key},
        guard,
        probe=legacy.probe_qty() if isinstance(legacy, DeclaresProbe) else "",
    )


def rejection_code(outcome: Done | Exception) -> str:
    """Why a command was rejected."""
    assert isinstance(outcome, Rejected), f"it was not rejected: {outcome!r}"
    return outcome.code


def qty_of(legacy: LegacySystem, number: int = 1) -> object:
    """The row's `qty` as the legacy program sees it."""
    return next(row["qty"] for row in legacy.rows() if row[KEY] == order(number)[KEY])


async def probe_result(writer: Writer, effect: Effect) -> Done | Unsupported | None:
    """The result of a probe; Unsupported is a result only where no probe is declared."""
    try:
        return await writer.probe(effect)
    except Unsupported as unsupported:
        if effect.probe:
            pytest.fail(f"the declared probe {effect.probe!r} is refused: {unsupported}")
        return unsupported


async def _read(legacy: LegacySystem, records: RecordDecoder) -> dict[str, Any]:
    """The first order, as the Reader has it."""
    reader = await legacy.connector.reader(legacy.system())
    try:
        answer = await reader.fetch(Ask(legacy.table, (KEY,), [(order(1)[KEY],)]))
    finally:
        await reader.close()
    return dict(records.row(answer.shape, answer.rows[0]))


@needs("write")
class WriterTests(ConnectorTests):
    """Only for the capability `write`; without it, that it is refused."""

    @pytest.fixture
    async def writer(self, legacy: LegacySystem) -> AsyncIterator[Writer]:
        """A Writer that is prepared."""
        writer = await legacy.connector.writer(legacy.system())
        await writer.prepare()
        yield writer
        await writer.close()

    @pytest.fixture
    async def ledger(self, writer: Writer) -> LedgerWriter:
        """The same, where it keeps a ledger."""
        assert isinstance(writer, LedgerWriter)
        return writer

    async def test_no_commands_are_no_outcomes(self, writer: Writer) -> None:
        assert await writer.execute([]) == []
        await writer.prepare()

    @needs("read")
    async def test_the_row_that_a_command_compares_equals_the_one_that_is_read(
        self, legacy: LegacySystem, writer: Writer
    ) -> None:
        """Otherwise what an agent expects is never what the executor finds."""
        legacy.apply(Create(order(1)))
        records = RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])
        compared: list[Any] = []

        def guard(shape: Shape | None, row: Any) -> None:
            assert shape is not None
            compared.append(records.row(shape, row))

        before = await _read(legacy, records)
        (done,) = await writer.execute([await set_qty(legacy, "kit:1", 513, guard=guard)])
        assert isinstance(done, Done), done
        assert compared == [before]
        if done.shape is not None and done.after is not None:
            assert records.row(done.shape, done.after) == await _read(legacy, records)

    async def test_what_may_not_begin_any_more_is_not_carried_out(
        self, legacy: LegacySystem, writer: Writer
    ) -> None:
        """A process that was frozen meanwhile isn't the one that acts any more."""
        legacy.apply(Create(order(1)), Create(order(2)))
        begun: list[str] = []

        def too_late() -> None:
            raise Fenced("somebody else acts by now")

        late = replace(await set_qty(legacy, "kit:1", 511, 1), begin=too_late)
        timely = replace(await set_qty(legacy, "kit:2", 512, 2), begin=lambda: begun.append("2"))
        fenced, done = await writer.execute([late, timely])
        assert isinstance(fenced, Fenced), fenced
        assert isinstance(done, Done), done
        assert begun
        assert (qty_of(legacy, 1), qty_of(legacy, 2)) == (order(1)["qty"], 512)

    async def test_a_writer_keeps_a_ledger_where_its_connector_says_so(
        self, writer: Writer, can: Capabilities
    ) -> None:
        assert isinstance(writer, LedgerWriter) == can.ledger
        assert writer.in_doubt_timeout >= 0

    @needs("ledger")
    async def test_a_command_takes_effect_once_also_for_another_writer(
        self, legacy: LegacySystem, ledger: LedgerWriter
    ) -> None:
        legacy.apply(Create(order(1)))
        effect = await set_qty(legacy, "kit:1", 500)
        (done,) = await ledger.execute([effect])
        assert isinstance(done, Done), done
        assert (done.rows, done.repeated) == (1, False)
        legacy.apply(Update(order(1)[KEY], {"qty": 7}))
        (again,) = await ledger.execute([effect])
        second = await legacy.connector.writer(legacy.system())
        (elsewhere,) = await second.execute([effect])
        await second.close()
        for outcome in (again, elsewhere):
            assert isinstance(outcome, Done), outcome
            assert outcome.repeated
            assert (outcome.rows, outcome.result) == (done.rows, done.result)
            assert outcome.finished_at == done.finished_at
        assert qty_of(legacy) == 7

    @needs("ledger")
    async def test_an_id_stands_for_one_content_in_the_ledger(
        self, legacy: LegacySystem, ledger: LedgerWriter
    ) -> None:
        legacy.apply(Create(order(1)))
        await ledger.execute([await set_qty(legacy, "kit:1", 504)])
        other = await set_qty(legacy, "kit:1", 999)
        (reused,) = await ledger.execute([other])
        assert rejection_code(reused) == "key_reused"
        assert await ledger.probe(other) is None
        assert qty_of(legacy) == 504

    @needs("ledger")
    async def test_the_ledger_answers_probes_by_the_commands_id_alone(
        self, legacy: LegacySystem, ledger: LedgerWriter
    ) -> None:
        legacy.apply(Create(order(1)))
        effect, missing = (
            await set_qty(legacy, "kit:1", 500),
            await set_qty(legacy, "kit:2", 5, 9),
        )
        bare = Effect(effect.command_id, effect.digest, "", {}, "", {})
        assert await ledger.probe(bare) is None
        (done, failed) = await ledger.execute([effect, missing])
        assert isinstance(done, Done)
        assert rejection_code(failed) == "not_found"
        receipt = await ledger.probe(bare)
        assert receipt is not None
        assert (receipt.rows, receipt.repeated) == (1, True)
        assert receipt.finished_at == done.finished_at
        assert await ledger.probe(missing) is None

    @needs("ledger")
    async def test_a_partition_s_former_owner_does_not_act_any_more(
        self, legacy: LegacySystem, ledger: LedgerWriter
    ) -> None:
        legacy.apply(Create(order(1)), Create(order(2)))
        mine = replace(await set_qty(legacy, "kit:1", 501, 1), partition="1")
        lost = replace(await set_qty(legacy, "kit:2", 502, 2), partition="2")
        (nobodys,) = await ledger.execute([mine])
        await ledger.own(["1", "2"])
        successor = await legacy.connector.writer(legacy.system())
        assert isinstance(successor, LedgerWriter)
        await successor.own(["2"])
        done, fenced = await ledger.execute([mine, lost])
        assert isinstance(nobodys, Fenced)
        assert isinstance(done, Done)
        assert isinstance(fenced, Fenced)
        assert [qty_of(legacy, number) for number in (1, 2)] == [501, order(2)["qty"]]
        (taken,) = await successor.execute([lost])
        assert isinstance(taken, Done)
        assert not taken.repeated
        await successor.close()
        assert qty_of(legacy, 2) == 502

    @needs("not ledger")
    async def test_without_a_ledger_a_probe_tells_what_has_happened_and_what_has_not(
        self, legacy: LegacySystem, writer: Writer
    ) -> None:
        legacy.apply(Create(order(1)), Create(order(2)))
        first, second = (
            await set_qty(legacy, "kit:1", 501, 1),
            await set_qty(legacy, "kit:2", 502, 2),
        )
        for effect in (first, second):
            answer = await probe_result(writer, effect)
            assert answer is None or isinstance(answer, Unsupported), answer
        (done,) = await writer.execute([first])
        assert isinstance(done, Done), done
        answer = await probe_result(writer, first)
        assert isinstance(answer, Done | Unsupported), (
            f"it has happened, but is not found: {answer}"
        )
        answer = await probe_result(writer, second)
        assert answer is None or isinstance(answer, Unsupported), answer
        elsewhere = await legacy.connector.writer(legacy.system())
        answer = await probe_result(elsewhere, first)
        assert isinstance(answer, Done | Unsupported), (
            f"it has happened, but is not found: {answer}"
        )
        await elsewhere.close()
        assert [qty_of(legacy, number) for number in (1, 2)] == [501, order(2)["qty"]]

    async def test_outcomes_are_aligned_and_one_failure_spares_the_rest(
        self, legacy: LegacySystem, writer: Writer
    ) -> None:
        legacy.apply(Create(order(1)), Create(order(2)), Create(order(3)))
        records = RecordDecoder((await legacy.connector.describe(legacy.system()))[legacy.table])
        seen: list[object] = []

        def agree(shape: Shape | None, row: Any) -> None:
            assert shape is not None
            seen.append(records.row(shape, row))

        def refuse(_shape: Shape | None, _row: Any) -> None:
            raise Rejected("conflict", "the row has changed")

        outcomes = await writer.execute(
            [
                await set_qty(legacy, "kit:1", 501, 1, agree),
                await set_qty(legacy, "kit:2", 502, 9),
                await set_qty(legacy, "kit:3", 503, 2, refuse),
                await set_qty(legacy, "kit:4", 504, 3),
            ]
        )
        assert qty_of(legacy, 2) == order(2)["qty"]
        (later,) = await writer.execute([await set_qty(legacy, "kit:3", 503, 2)])
        assert [isinstance(outcome, Done) for outcome in outcomes] == [True, False, False, True]
        assert [rejection_code(outcome) for outcome in outcomes[1:3]] == ["not_found", "conflict"]
        assert isinstance(later, Done)
        assert not later.repeated
        assert seen == [order(1)]
        assert [qty_of(legacy, number) for number in (1, 2, 3)] == [501, 503, 504]

    @needs("every_change", "capture")
    async def test_a_command_s_changes_name_it_and_those_of_failed_ones_do_not_exist(
        self, legacy: LegacySystem, writer: Writer, can: Capabilities
    ) -> None:
        legacy.apply(Create(order(1)), Create(order(2)))
        async with streaming(legacy) as stream:
            before = len(await stream.quiet())
            legacy.apply(Update(order(2)[KEY], {"qty": 1}))
            await writer.execute(
                [
                    await set_qty(legacy, "kit:a", 501, 1),
                    await set_qty(legacy, "kit:b", 502, 9),
                    await set_qty(legacy, "kit:c", 503, 2),
                ]
            )
            legacy.apply(Update(order(1)[KEY], {"qty": 2}))
            await stream.until(before + 4)
            await stream.quiet()
        wanted = [None, "kit:a", "kit:c", None] if can.markers else [None] * 4
        assert [change.causation for change in stream.changes[before:]] == wanted
