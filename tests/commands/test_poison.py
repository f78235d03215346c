"""Commands, records and receipts that nobody foresaw: each ends by itself, and the rest goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.commands.codes import outcome_headers
from bridge.commands.decision.decide import Await, Execute, Refuse, decide
from bridge.commands.receipts.builder import succeeded
from bridge.connector import Column, Done, Effect, Shape
from bridge.log.port import Entry
from bridge.model import headers
from bridge.model.canonical import canonical_json, sha256_hex
from bridge.model.command import CommandRecord, command_id
from bridge.model.errors import BridgeError, RetryLater
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import ArgSpec, CommandSpec, EntitySpec, FieldSpec, Tier
from bridge.model.system_records import DeadLetter, Target
from bridge.model.types import KEY_TYPES, parse_type
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.steps import Wire
from connectors.journal.dialects.sqlite.journal import SqliteJournal
from connectors.sql.write.writer import SqlWriter
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.sqlite_executor import REASON, executing, orders, receipts, sealed, send
from tests.commands.test_decide import TABLE
from tests.hostile_values import HALF_EMOJI, JSON_VALUES, TextlessError, quick
from tests.waiting import until

TYPES = (
    *("boolean", "integer", "float", "double", "decimal(9,2)", "string", "json", "bytes", "date"),
    *("time", "timestamp", "local_timestamp", "uuid", "array(integer)", "array(decimal(9,2))"),
)
NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)


def of_type(name: str) -> CommandSpec:
    arg = ArgSpec("value", parse_type(name))
    return CommandSpec("erp", "set", "sales_order", "update", (arg,), Tier.OUTSIDE_THE_LOOP)


def written(key: Any, args: Any, **more: Any) -> CommandRecord:
    """A record as any program may write it, of which no more is right than its digest."""
    name = "erp.set"
    fields: dict[str, Any] = {
        "id": command_id("stranger", "1"),
        "idempotency_key": "1",
        "name": name,
        "key": canonical_json(key),
        "args": canonical_json(args),
        "digest": sha256_hex(name, key, args, None),
        "expect": None,
        "agent": "stranger",
        **dict.fromkeys(("agent_version", "handler", "caused_by", "reason", "confidence")),
        "deadline": None,
        "requested_at": NOW,
        **more,
    }
    return CommandRecord(**fields)


@pytest.mark.parametrize("name", TYPES)
def test_an_argument_of_any_type_and_any_value_is_decided(name: str) -> None:
    commands = {"erp.set": of_type(name)}

    @quick
    @given(JSON_VALUES)
    def holds(value: Any) -> None:
        record = written({"order_no": "1"}, {"value": value})
        record_target = Target("erp", "sales_order", record.key)
        decision = decide(record, record_target, commands, {"sales_order": TABLE}, NOW)
        assert isinstance(decision, (Execute, Refuse))
        if isinstance(decision, Refuse):
            assert decision.code == "bad_args"

    holds()


@quick
@given(JSON_VALUES, st.sampled_from(["id", "name", "key", "args", "digest", "expect", "agent"]))
def test_a_record_of_any_key_and_any_field_is_decided(key: Any, field: str) -> None:
    record = written(key, {"value": "1"})
    record_target = Target("erp", "sales_order", record.key)
    commands = {"erp.set": of_type("string")}
    changed: dict[str, Any] = {field: str(key)}
    for each in (record, replace(record, **changed)):
        decision = decide(each, record_target, commands, {"sales_order": TABLE}, NOW)
        assert isinstance(decision, (Execute, Await, Refuse))


@pytest.mark.parametrize("name", [each for each in TYPES if each in KEY_TYPES] + ["decimal(9,2)"])
def test_a_key_of_any_type_and_any_value_is_decided(name: str) -> None:
    shape = Shape("t", (Column("id", "python", parse_type(name), "python"),), Wire.PYTHON)
    spec = EntitySpec("erp", "sales_order", "t", ("id",), (FieldSpec("id", ("id",)),))
    table = EntityTable(spec, entity_type(spec, shape), shape)
    commands = {"erp.set": of_type("string")}

    @quick
    @given(JSON_VALUES)
    def holds(value: Any) -> None:
        record = written({"id": value}, {"value": "1"})
        record_target = Target("erp", "sales_order", record.key)
        decision = decide(record, record_target, commands, {"sales_order": table}, NOW)
        assert isinstance(decision, (Execute, Refuse))
        assert not isinstance(decision, Refuse) or decision.code == "bad_key"

    holds()


class BrokenTable:
    """A table whose plan has a defect."""

    spec, entity, earlier = TABLE.spec, TABLE.entity, TABLE.earlier

    def entity_of(self, shape: Any) -> Any:
        raise TextlessError

    def columns(self, fields: Sequence[str]) -> tuple[str, ...]:
        return TABLE.columns(fields)

    def ordered_column(self, field: str) -> str:
        raise TextlessError

    def outward(self, fields: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
        raise TextlessError

    def outward_many(self, field: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        raise TextlessError

    def is_exact(self, fields: Sequence[str]) -> bool:
        raise TextlessError

    def stored_values(
        self, fields: Sequence[str], values: Sequence[Any], source_values: Sequence[Any]
    ) -> tuple[Any, ...] | None:
        raise TextlessError

    def stored_key(self, values: Sequence[Any], source_values: Sequence[Any]) -> bytes | None:
        raise TextlessError

    def stored_keys(self, shape: Any, raws: Sequence[Any]) -> list[bytes]:
        raise TextlessError

    def row(self, shape: Any, raw: Any) -> Any:
        raise TextlessError

    def rows(self, shape: Any, raws: Sequence[Any]) -> list[Any]:
        raise TextlessError

    def partial_rows(self, shape: Any, raws: Sequence[Any]) -> list[Any]:
        raise TextlessError


def test_a_defect_while_one_command_is_decided_rejects_that_command() -> None:
    record = written({"order_no": "1"}, {"value": "1"})
    record_target = Target("erp", "sales_order", record.key)
    commands = {"erp.set": of_type("string")}
    decision = decide(record, record_target, commands, {"sales_order": BrokenTable()}, NOW)
    assert isinstance(decision, Refuse)
    assert (decision.outcome, decision.code) == (Outcome.REJECTED, "undecidable")
    assert "TextlessError" in decision.message


def test_an_effect_is_succeeded_whatever_its_row_and_answer_are() -> None:
    spec = of_type("string")
    decision = Execute(spec, BrokenTable(), Effect("id", "d", "", {}, "", {}))
    done = Done(1, result=HALF_EMOJI, after=(1,), shape=object(), finished_at=10**30)  # type: ignore[arg-type]
    receipt = succeeded(written({}, {}), decision, done, NOW)
    assert receipt.outcome == Outcome.SUCCEEDED
    assert (receipt.result, receipt.version, receipt.finished_at) == ("?", None, NOW)


async def test_poison_in_a_batch_has_its_receipts_or_letters_and_the_others_take_effect(
    here: ErpHarness,
) -> None:
    for number in range(1, 8):
        here.order(number, 1, 5)
    topic = here.codec.topic("command")
    good = [sealed("note_order", str(number), args=REASON) for number in range(1, 8)]
    await send(here, *good[:3])
    own = here.codec.entry("command", Target("erp", "sales_order", "{}"), good[0])
    foreign = await here.registry.register("other-value", '"string"')
    frame = b"\0" + foreign.to_bytes(4, "big")
    bad = sealed("note_order", "1", args={"reason": "x" * 61}, key="bad")
    await here.log.append(
        topic,
        [
            Entry(b"no key", own.value),
            Entry(own.key, frame + b"\x02a"),
            Entry(own.key, (own.value or b"")[:-9] + b"\xff" * 9),
            Entry(None, None),
            Entry(own.key, None),
        ],
    )
    await send(here, bad, *good[3:])
    async with executing(here) as task:
        receipt_by_id = await receipts(here, 8)
        await until(lambda: not task.done())
    assert {receipt_by_id[each.id].outcome for each in good} == {Outcome.SUCCEEDED}
    assert (receipt_by_id[bad.id].outcome, receipt_by_id[bad.id].code) == (
        Outcome.REJECTED,
        "bad_args",
    )
    letters = [each for each in await here.records("dead") if isinstance(each, DeadLetter)]
    assert len(letters) == 5
    assert {each.kind for each in letters} == {"command"}


class BreakingWriter(SqlWriter):
    """Meets a defect at each effect of the third order, before or after the others are there."""

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        if any("0000000003" in map(str, effect.key.values()) for effect in effects):
            raise TextlessError
        return await super().execute(effects)


async def test_a_defect_of_the_connector_fails_the_command_that_it_meets_and_no_other(
    here: ErpHarness,
) -> None:
    for number in range(1, 6):
        here.order(number, 1, 5)
    sent = [sealed("note_order", str(number), args=REASON) for number in range(1, 6)]
    await send(here, *sent)
    async with executing(here, writer=BreakingWriter(here.system, SqliteJournal().sql)):
        receipt_by_id = await receipts(here, 5)
    ends = [(receipt_by_id[each.id].outcome, receipt_by_id[each.id].code) for each in sent]
    assert ends == [
        *[("succeeded", None)] * 2,
        ("failed", "connector_error"),
        *[("succeeded", None)] * 2,
    ]


class LeavingWriter(SqlWriter):
    """Meets a defect, and is away from then on, for as long as `away` says."""

    away = True
    batches: list[int]

    async def prepare(self) -> None:
        if self.away and self.batches:
            raise RetryLater("the system is away")
        await super().prepare()

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        if self.away:
            self.batches.append(len(effects))
            if len(effects) > 1:
                raise TextlessError
            raise RetryLater("the system is away")
        return await super().execute(effects)


async def test_a_system_that_is_away_after_a_defect_is_not_asked_for_each_command(
    here: ErpHarness,
) -> None:
    """Each would wait for a time-out of its own, for hours with five hundred of them."""
    for number in range(1, 21):
        here.order(number, 1, 5)
    await send(here, *[sealed("note_order", str(number), args=REASON) for number in range(1, 21)])
    writer = LeavingWriter(here.system, SqliteJournal().sql)
    writer.batches = []
    async with executing(here, writer=writer):
        await until(lambda: len(writer.batches) > 3)
        writer.away = False
        receipt_by_id = await receipts(here, 20)
    assert {each.outcome for each in receipt_by_id.values()} == {Outcome.SUCCEEDED}
    large = [size for size in writer.batches if size > 1]
    assert writer.batches.count(1) <= len(large)


async def test_a_receipt_of_an_outcome_nobody_knows_holds_up_its_own_command_alone(
    here: ErpHarness,
) -> None:
    """A later version may have written it: executing again could ship the order twice."""
    for number in (1, 2):
        here.order(number, 1, 5)
    unclear, clear = (sealed("raise_total", str(number)) for number in (1, 2))
    receipt = Receipt(unclear.id, Outcome.SUCCEEDED, None, None, None, None, None, NOW)
    record_headers = [(name, value) for name, value in outcome_headers(receipt, unclear.digest)]
    record_headers = [
        (name, b"compensated" if name == headers.OUTCOME else value)
        for name, value in record_headers
    ]
    record_target = Target("erp", "sales_order", unclear.key)
    entry = here.codec.entry("receipt", record_target, receipt, record_headers)
    await here.log.append(here.codec.topic("receipt"), [entry])
    await send(here, unclear, clear)
    async with executing(here):
        await until(lambda: orders(here)["2"][0] == 6)
        await until(lambda: len_of(here, 3))
    assert orders(here)["1"][0] == 5
    raw = await here.raw(here.codec.topic("receipt"))
    last = await here.codec.decode(
        "receipt", [r for r in raw if r.key == entry.key][-1].value or b""
    )
    assert isinstance(last, Receipt)
    assert (last.outcome, last.code) == (Outcome.UNKNOWN_OUTCOME, "unknown")
    assert "compensated" in (last.message or "")
    ours = dict([r for r in raw if r.key == entry.key][-1].headers)
    # A later version that reads the headers must not take this for the last word.
    assert not {headers.OUTCOME, headers.DIGEST} & ours.keys()


async def len_of(here: ErpHarness, count: int) -> bool:
    return len(await here.raw(here.codec.topic("receipt"))) >= count


async def test_a_command_too_large_for_its_own_end_has_a_letter(here: ErpHarness) -> None:
    """Its receipt carries its key, its letter its bytes: neither fits a record any more."""
    here.order(1, 1, 5)
    room = here.log.max_record_bytes
    large = written({"order_no": "x" * (room - 2500)}, {})
    entry = here.codec.entry("command", Target("erp", "sales_order", "{}"), large)
    loud = replace(sealed("note_order", "1", args=REASON), id="y" * (room * 9 // 20))
    await here.log.append(
        here.codec.topic("command"),
        [
            entry,
            Entry(b"\xff" * (room // 2), b"\xff" * (room // 2 - 100)),
            here.codec.entry("command", Target("erp", "sales_order", "{}"), loud),
        ],
    )
    good = sealed("note_order", "1", args=REASON)
    await send(here, good)
    async with executing(here):
        await until(lambda: orders(here)["1"][2] == "late")
    letters = [each for each in await here.records("dead") if isinstance(each, DeadLetter)]
    assert {each.offset is not None for each in letters} == {True}
    assert len(letters) == 2


async def test_an_effect_that_meets_a_defect_leaves_the_others_of_its_batch(
    here: ErpHarness,
) -> None:
    """Its guard, its bindings, its answer: whatever breaks is rolled back to its savepoint."""
    for number in (1, 2, 3):
        here.order(number, 1, 5)

    def broken(shape: Any, row: Any) -> None:
        raise TextlessError

    effects = [
        Effect(
            f"bot:{number}",
            "digest",
            "update vbak set ztext = 'done' where vbeln = :key",
            {"key": f"{number:010}"},
            "vbak",
            {"vbeln": f"{number:010}"},
            guard=broken if number == 2 else None,
        )
        for number in (1, 2, 3)
    ]
    writer = SqlWriter(here.system, SqliteJournal().sql)
    try:
        await writer.prepare()
        first, second, third = await writer.execute(effects)
    finally:
        await writer.close()
    assert isinstance(first, Done)
    assert isinstance(third, Done)
    assert isinstance(second, BridgeError)
    assert [orders(here)[each][2] for each in "123"] == ["done", None, "done"]


@pytest.mark.parametrize(
    ("fields", "target", "code"),
    [
        ({"id": f"{'x' * 2_000}:1"}, "{}", "bad_id"),
        ({"key": canonical_json({"order_no": "x" * 70_000})}, "{}", "bad_command"),
        ({}, "x" * 70_000, "bad_target"),
    ],
    ids=["id", "key", "target"],
)
def test_what_no_intent_of_it_could_hold_is_refused_before_there_is_one(
    fields: dict[str, Any], target: str, code: str
) -> None:
    """Where there is no ledger an intent comes first: one that is too large ended the executor."""
    record = replace(written({"order_no": "1"}, {"value": "1"}), **fields)
    record_target = Target("erp", "sales_order", target)
    commands = {"erp.set": of_type("string")}
    decision = decide(record, record_target, commands, {"sales_order": TABLE}, NOW)
    assert isinstance(decision, Refuse)
    assert decision.code == code
