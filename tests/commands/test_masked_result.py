"""A receipt keeps nothing of a masked column: it is a record of the log as an event is."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bridge.commands.receipts.builder import reconciled, succeeded
from bridge.commands.receipts.masked_result import masked_paths, without_masked
from bridge.connector import Done
from bridge.model.canonical import canonical_json
from bridge.model.receipt import Outcome
from bridge.model.specs import EntitySpec, FieldSpec
from tests.agent.sqlite_erp import SPEC, ErpHarness
from tests.commands.sqlite_executor import executing, receipts, sealed, send
from tests.commands.test_poison import written

NOW = datetime(2026, 1, 31, tzinfo=UTC)
ENTITY = EntitySpec(
    "erp",
    "customer",
    "customer",
    ("id",),
    (
        FieldSpec("id", ("ID",)),
        FieldSpec("mail", ("Email",), mask="hash"),
        FieldSpec("city", ("Address/City",), mask="drop"),
    ),
)
MASKED = masked_paths([ENTITY])


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ([{"ID": 1, "Email": "anna", "City": "Bonn"}], [{"ID": 1, "City": "Bonn"}]),
        ([{"id": 1, "EMAIL": "anna"}], [{"id": 1}]),
        ([{"Address": {"City": "Bonn", "Zip": "5"}}], [{"Address": {"Zip": "5"}}]),
        ([{"Orders": [{"Owner": {"Email": "anna", "n": 1.5}}]}], [{"Orders": [{"Owner": {"n": 1.5}}]}]),
        ([{"id": "ä"}], [{"id": "ä"}]),
    ],
)  # fmt: skip
def test_a_receipt_has_no_masked_column_of_the_answer(answer: object, kept: object) -> None:
    """An OData service answers with the row that it made: all of it was in the receipt."""
    record, done = written({}, {}), Done(1, result=canonical_json(answer))
    for receipt in (
        succeeded(record, None, done, NOW, masked=MASKED),
        reconciled(record, None, done, NOW, masked=MASKED),
    ):
        assert receipt.result is not None
        assert json.loads(receipt.result) == kept


def test_where_nothing_is_masked_the_answer_is_kept_as_it_is() -> None:
    text = '[{"Email": "anna",  "n": 1.10}]'
    assert without_masked(text, masked_paths([])) == text
    assert without_masked('[{"n": 1.10}]', MASKED) == '[{"n": 1.10}]'


@pytest.mark.parametrize("text", ["{", "[" * 100_000, ""])
def test_of_an_answer_that_cannot_be_read_nothing_is_kept(text: str) -> None:
    assert without_masked(text, MASKED) is None


async def test_an_executor_leaves_the_masked_columns_of_its_system_out(
    here: ErpHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`RETURNING *` is what a person writes who wants to see the row."""
    commands = tuple(
        replace(each, run=f"{each.run} returning *") if each.name == "note_order" else each
        for each in SPEC.commands
    )
    entity = replace(ENTITY, fields=(FieldSpec("state", ("gbstk",), mask="hash"),))
    spec = replace(SPEC, commands=commands, entities=(*SPEC.entities, entity))
    monkeypatch.setattr("tests.commands.sqlite_executor.SPEC", spec)
    here.order(1, 1, 5)
    record = sealed("note_order", "1", args={"reason": "seen"})
    await send(here, record)
    async with executing(here):
        receipt = (await receipts(here, 1))[record.id]
    assert receipt.outcome == Outcome.SUCCEEDED, receipt
    (row,) = json.loads(receipt.result or "")
    assert "gbstk" not in row
    assert row["vbeln"]
