"""What is wrong with single rows goes to dead letters, and the rest goes on."""

from __future__ import annotations

import json

from bridge.capture import control
from bridge.capture.checkpoint.record import CheckpointRecord
from bridge.capture.entity import CapturedEntity, EventTarget
from bridge.capture.outbox import RecordGroup
from bridge.capture.report import status_record
from bridge.capture.state import CaptureState
from bridge.connector import CREATE, Change, SourceTransaction
from bridge.model.specs import EntitySpec, FieldSpec
from bridge.model.types import FieldType
from bridge.observe import DeadLetterWritten
from tests.capture.databases import BRIDGE
from tests.capture.harness import CaptureHarness, until
from tests.hostile_values import HALF_EMOJI, TextlessError

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, amount TEXT, secret TEXT)"
FIELDS = (
    FieldSpec("id", ("id",)),
    FieldSpec("amount", ("amount",), FieldType("decimal", 10, 2)),
    FieldSpec("secret", ("secret",), mask="drop"),
)
ENTITY = EntitySpec("erp", "t", "t", ("id",), FIELDS)


async def test_a_row_that_cannot_be_normalised_is_set_aside_with_its_place_and_reason(
    harness: CaptureHarness,
) -> None:
    harness.run(TABLE, "INSERT INTO t VALUES (1, 'nonsense', 'hidden-1')")
    await harness.declare(ENTITY)
    async with harness.capturing():
        harness.run(
            "INSERT INTO t VALUES (2, '12.50', 'x')",
            "INSERT INTO t VALUES (3, 'twelve', 'hidden-3')",
            "INSERT INTO t VALUES (4, '1.00', 'x')",
        )
        await until(lambda: count(harness, 2))
    assert sorted(await harness.state("t")) == [2, 4]
    first, second = sorted(await harness.dead(), key=lambda letter: letter.position or "")
    assert (first.kind, first.source, first.error) == ("row", "erp.t", "RowError")
    assert "amount" in first.reason
    assert json.loads(first.raw or "")["new"] == {"id": 1, "amount": "nonsense"}
    assert json.loads(second.raw or "")["new"] == {"id": 3, "amount": "twelve"}
    assert second.position is not None


async def test_what_is_set_aside_counts_against_a_transactions_size(
    harness: CaptureHarness,
) -> None:
    """Else a table of which no row can be normalised would gather in memory while the log is slow."""
    harness.run(TABLE)
    await harness.declare(ENTITY)
    deps = harness.deps()
    await deps.dead.open()
    entity = CapturedEntity(ENTITY, EventTarget(BRIDGE, 1, 900_000, None), harness.registry)
    [shape] = (await harness.database.connector.describe(harness.system())).values()
    encoder = await entity.adapt(shape)
    transaction = SourceTransaction(None, 1, None)
    changes = [
        Change(shape, CREATE, None, False, (at, "x" * 1000, None), at, transaction)
        for at in range(50)
    ]
    group = RecordGroup(CheckpointRecord())
    failures = encoder.changes(changes, 0, 0, [])
    CaptureState(deps, CheckpointRecord(), {}).dead_letter(entity, encoder, failures, group)
    assert group.dead == 50
    assert group.size == sum(len(entry.value or b"") for entry in group.entries["acme.dead"])
    assert group.size > 50_000


async def count(harness: CaptureHarness, letters: int) -> bool:
    return len([n for n in harness.notices if isinstance(n, DeadLetterWritten)]) == letters


async def test_a_row_that_cannot_be_normalised_is_in_the_table_all_the_same(
    harness: CaptureHarness,
) -> None:
    """Reconciling deletes what is gone, not what is dead-lettered."""
    harness.run(TABLE, "INSERT INTO t VALUES (1, '1.00', 'x'), (2, '2.00', 'x'), (3, '3.00', 'x')")
    await harness.declare(ENTITY)
    async with harness.capturing():
        harness.run("UPDATE t SET amount = 'nonsense' WHERE id = 1")
        await until(lambda: count(harness, 1))
        request = control.request("erp", "snapshot", "t", reconcile=True)
        await control.send(harness.log, BRIDGE, request)
        await until(lambda: reported(harness, request.id))
    assert sorted(await harness.state("t")) == [1, 2, 3]
    assert "delete" not in {record.op for record in await harness.records("t")}


async def reported(harness: CaptureHarness, request: str) -> bool:
    status = (await status_record.statuses(harness.log, harness.bridge)).get("erp")
    return status is not None and any(each["id"] == request for each in status.results)


async def test_a_record_over_the_limit_is_set_aside_with_the_length_and_hash_of_what_was_cut(
    harness: CaptureHarness,
) -> None:
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    await harness.declare("t")
    async with harness.capturing(max_record_bytes=20_000):
        harness.run(
            f"INSERT INTO t VALUES (1, '{'x' * 30_000}')",
            f"INSERT INTO t VALUES (2, '{'y' * 3_000}')",
        )
        await until(lambda: count(harness, 1))
        await harness.equal_but("t", {1})
    (letter,) = await harness.dead()
    assert letter.kind == "record"
    assert "30000 bytes" in letter.reason
    assert len(letter.raw or "") < 20_000
    cut = json.loads(letter.raw or "")["new"]["a"]
    assert cut["length"] == 30_000
    assert len(cut["sha256"]) == 64


async def test_a_call_whose_error_has_no_text_sets_its_row_aside_and_no_other(
    harness: CaptureHarness,
) -> None:
    """Half an emoji in an error's text, or an error without one, ended the system's capture."""
    harness.run("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    called = FieldSpec("a", ("a",), FieldType("string"), call="tests.capture.test_rows:refuse")
    await harness.declare(EntitySpec("erp", "t", "t", ("id",), (FieldSpec("id", ("id",)), called)))
    async with harness.capturing():
        harness.run("INSERT INTO t VALUES (1, 'half'), (2, 'none'), (3, 'fine')")
        await until(lambda: count(harness, 2))
        await harness.equal_but("t", {1, 2})
    letters = await harness.dead()
    assert len(letters) == 2
    assert all(letter.reason.encode() for letter in letters)


def refuse(value: str) -> str:
    if value == "half":
        raise ValueError(HALF_EMOJI)
    if value == "none":
        raise TextlessError
    return value
