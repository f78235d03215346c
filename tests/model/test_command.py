# ruff: noqa: DTZ001 - a deadline without a zone is one of the cases
"""Sealing: what a handler put into a command becomes a record, or is refused in words."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.command import Command, CommandRecord, seal
from bridge.model.errors import Rejected
from bridge.model.system_records import decode, encode
from tests.hostile_values import HALF_EMOJI, VALUES, Unprintable, endless_list, quick

NOW = datetime(2026, 1, 31, 10, tzinfo=UTC)
FIELDS = [field.name for field in fields(Command)]


def sealed(**more: Any) -> CommandRecord:
    command = Command(**{"name": "erp.block_order", "key": {"order_no": "1"}, **more})
    return seal(
        command,
        command.key,
        agent="tester",
        requested_at=NOW,
        idempotency_key="1" if command.idempotency_key is None else command.idempotency_key,
    )


@quick
@given(st.sampled_from(FIELDS), VALUES)
def test_a_command_is_refused_or_comes_back_from_the_log(field: str, value: Any) -> None:
    """One field after the other holds anything at all: nothing but a refusal comes out, and what is
    sealed can be written and read."""
    try:
        record: CommandRecord | None = sealed(**{field: value})
    except Rejected:
        record = None
    if record is not None:
        assert decode("command", encode("command", record)) == record


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("reason", 5, "reason is text, not int 5"),
        ("reason", f"late {HALF_EMOJI}", "reason is text without lone surrogates"),
        ("confidence", "high", "confidence is a number, not str 'high'"),
        ("confidence", float("nan"), "confidence is a finite number"),
        ("confidence", True, "confidence is a number, not bool"),
        ("deadline", "2030-01-01T00:00:00Z", "deadline is a datetime with a time zone, not str"),
        ("deadline", datetime(2030, 1, 1), "such as datetime.now(UTC) + timedelta(minutes=5)"),
        (
            "deadline",
            datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-5))),
            "deadline is in the years 1 to 9999 of UTC",
        ),
        ("idempotency_key", 7, "idempotency_key is text, not int 7"),
        ("expect", 7, "expect is text, not int 7"),
        ("name", 7, "name is text, not int 7"),
        ("args", None, "args is a mapping of names to values, not NoneType"),
        ("args", {"qty": 10**5000}, "digits"),
        ("args", {"qty": Decimal("1e300000000")}, "no canonical form"),
        ("args", {"note": HALF_EMOJI}, "surrogates"),
        ("args", {1: "a", "1": "b"}, "two names that are the same"),
        ("args", {"who": object()}, "object has no canonical JSON form"),
        ("args", {"all": endless_list()}, "recursion"),
        ("reason", Unprintable(), "no repr"),
    ],
    ids=lambda _: "",
)
def test_what_no_record_can_hold_is_refused_by_field(field: str, value: Any, says: str) -> None:
    with pytest.raises(Rejected) as refused:
        sealed(**{field: value})
    assert refused.value.code == "bad_value"
    assert says in str(refused.value)


def test_numbers_and_instants_of_other_kinds_are_taken() -> None:
    east = timezone(timedelta(hours=5))
    record = sealed(confidence=Decimal("0.5"), deadline=datetime(2030, 1, 1, 5, tzinfo=east))
    assert record.confidence == 0.5
    assert record.deadline == datetime(2030, 1, 1, tzinfo=UTC)
    assert sealed(confidence=1).confidence == 1.0
