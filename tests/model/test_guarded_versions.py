"""The version that each command compares, of a row that was read."""

from __future__ import annotations

from datetime import UTC, datetime

from bridge.agent.sample_types import PlainRow
from bridge.model.guarded_versions import guarded_versions
from bridge.model.provenance import Provenance, TracedRow, version
from bridge.model.specs import CommandSpec
from bridge.model.types import Entity, Field, parse_type

ORDER = Entity(
    "erp",
    "sales_order",
    ("order_no",),
    tuple(Field(name, parse_type("string")) for name in ("order_no", "status", "note")),
)
COMMANDS = (
    CommandSpec("erp", "block_order", "sales_order", "", guards=("status",)),
    CommandSpec("erp", "note_order", "sales_order", ""),
    CommandSpec("erp", "rename", "customer", ""),
    CommandSpec("crm", "close", "sales_order", ""),
)


def row(note: str) -> TracedRow:
    fields = PlainRow({"order_no": "1", "status": "open", "note": note})
    origin = Provenance("erp.sales_order", "legacy", datetime(2026, 1, 31, tzinfo=UTC))
    return TracedRow(fields, origin, ORDER)


def test_each_command_on_the_rows_entity_has_a_version() -> None:
    versions = guarded_versions(COMMANDS, row("a"))
    assert versions.keys() == {"erp.block_order", "erp.note_order"}
    assert versions["erp.note_order"] == version(row("a"))


def test_only_guarded_fields_change_the_version_of_a_command_with_guards() -> None:
    before, after = (guarded_versions(COMMANDS, row(note)) for note in ("a", "b"))
    assert before["erp.block_order"] == after["erp.block_order"]
    assert before["erp.note_order"] != after["erp.note_order"]
