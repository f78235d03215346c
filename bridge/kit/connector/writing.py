"""What a Writer does, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.connector import Capabilities, Done, Effect, Shape
from bridge.kit.connector.base import ConnectorTests, needs
from bridge.kit.connector.legacy import KEY, Create, Legacy, Update
from bridge.kit.connector.load import order
from bridge.kit.connector.records import Records
from bridge.kit.connector.stream import streaming
from bridge.model.errors import Rejected

Guard = Callable[[Shape | None, Any], None]


def set_qty(
    legacy: Legacy, command: str, qty: int, number: int = 1, guard: Guard | None = None
) -> Effect:
    """A command that sets `qty` of a row."""
    key = order(number)[KEY]
    parameters = {"key": key, "qty": qty}
    digest = f"{key}/{qty}"
    return Effect(command, digest, legacy.set_qty(), parameters, legacy.table, {KEY: key}, guard)


def code(outcome: Done | Exception) -> str:
    """Why a command was rejected."""
    assert isinstance(outcome, Rejected), f"it was not rejected: {outcome!r}"
    return outcome.code


def qty_of(legacy: Legacy, number: int = 1) -> object:
    """The row's `qty` as the legacy program sees it."""
    return next(row["qty"] for row in legacy.rows() if row[KEY] == order(number)[KEY])


class WriterTests(ConnectorTests):
    """Only for the capability `write`; without it, that it is refused."""

    async def test_no_commands_are_no_outcomes(self, legacy: Legacy) -> None:
        await needs(legacy, "write")
        writer = await legacy.connector.writer(legacy.system())
        await writer.prepare()
        assert await writer.execute([]) == []
        await writer.close()

    async def test_a_command_takes_effect_once_also_for_another_writer(
        self, legacy: Legacy
    ) -> None:
        await needs(legacy, "write")
        legacy.apply(Create(order(1)))
        effect = set_qty(legacy, "kit:1", 500)
        first = await legacy.connector.writer(legacy.system())
        await first.prepare()
        (done,) = await first.execute([effect])
        assert isinstance(done, Done), done
        assert (done.rows, done.repeated) == (1, False)
        legacy.apply(Update(order(1)[KEY], {"qty": 7}))
        (again,) = await first.execute([effect])
        await first.close()
        second = await legacy.connector.writer(legacy.system())
        (elsewhere,) = await second.execute([effect])
        await second.close()
        for outcome in (again, elsewhere):
            assert isinstance(outcome, Done), outcome
            assert outcome.repeated
            assert (outcome.rows, outcome.result) == (done.rows, done.result)
            assert outcome.finished_at == done.finished_at
        assert qty_of(legacy) == 7

    async def test_outcomes_are_aligned_and_one_failure_spares_the_rest(
        self, legacy: Legacy
    ) -> None:
        await needs(legacy, "write")
        legacy.apply(Create(order(1)), Create(order(2)), Create(order(3)))
        records = Records((await legacy.connector.describe(legacy.system()))[legacy.table])
        seen: list[object] = []

        def agree(shape: Shape | None, row: Any) -> None:
            assert shape is not None
            seen.append(records.row(shape, row))

        def refuse(_shape: Shape | None, _row: Any) -> None:
            raise Rejected("conflict", "the row has changed")

        writer = await legacy.connector.writer(legacy.system())
        await writer.prepare()
        outcomes = await writer.execute(
            [
                set_qty(legacy, "kit:1", 501, 1, agree),
                set_qty(legacy, "kit:2", 502, 9),
                set_qty(legacy, "kit:3", 503, 2, refuse),
                set_qty(legacy, "kit:4", 504, 3),
            ]
        )
        (reused,) = await writer.execute([set_qty(legacy, "kit:4", 999, 3)])
        (later,) = await writer.execute([set_qty(legacy, "kit:3", 503, 2)])
        await writer.close()
        assert [isinstance(one, Done) for one in outcomes] == [True, False, False, True]
        assert [code(outcomes[1]), code(outcomes[2]), code(reused)] == [
            "not_found",
            "conflict",
            "key_reused",
        ]
        assert isinstance(later, Done)
        assert not later.repeated
        assert seen == [order(1)]
        assert [qty_of(legacy, number) for number in (1, 2, 3)] == [501, 503, 504]

    async def test_a_command_s_changes_name_it_and_those_of_failed_ones_do_not_exist(
        self, legacy: Legacy, can: Capabilities
    ) -> None:
        await needs(legacy, "write", "capture")
        legacy.apply(Create(order(1)), Create(order(2)))
        writer = await legacy.connector.writer(legacy.system())
        await writer.prepare()
        async with streaming(legacy) as stream:
            before = len(await stream.quiet())
            legacy.apply(Update(order(2)[KEY], {"qty": 1}))
            await writer.execute(
                [
                    set_qty(legacy, "kit:a", 501, 1),
                    set_qty(legacy, "kit:b", 502, 9),
                    set_qty(legacy, "kit:c", 503, 2),
                ]
            )
            legacy.apply(Update(order(1)[KEY], {"qty": 2}))
            await stream.until(before + 4)
            await stream.quiet()
        await writer.close()
        wanted = [None, "kit:a", "kit:c", None] if can.markers else [None] * 4
        assert [change.causation for change in stream.changes[before:]] == wanted
