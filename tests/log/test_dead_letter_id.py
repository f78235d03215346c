"""How a person names a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.log.dead_letter_id import parse_letter_id
from bridge.log.port import Record
from bridge.model.system_records import DeadLetter

LETTER = DeadLetter(
    kind="event",
    source="credit-watch",
    reason="",
    at=datetime(2026, 1, 31, tzinfo=UTC),
    topic="acme.erp.order",
    partition=1,
    offset=7,
    event_id="erp:order:1",
)
RECORD = Record("acme.dead", 0, 17, 0, None, b"", ())


@pytest.mark.parametrize("text", ["0-17", "17", "erp:order:1", "acme.erp.order:1:7"])
def test_a_letter_is_named_by_its_number_or_by_what_it_is_about(text: str) -> None:
    assert parse_letter_id(text).is_of(RECORD, LETTER)


@pytest.mark.parametrize("text", ["1-17", "18", "erp:order:2", "acme.erp.order:1:8"])
def test_another_number_or_subject_names_another_letter(text: str) -> None:
    assert not parse_letter_id(text).is_of(RECORD, LETTER)


@pytest.mark.parametrize("text", ["", "letter", "1-2-3", "-1"])
def test_what_can_name_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 0-17"):
        parse_letter_id(text)
