"""What is kept of a record that an operator skipped."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.log.port import Record
from bridge.model import headers
from bridge.wiring.skip_records import SKIPPED, skipped_letter

AT = datetime(2026, 1, 31, tzinfo=UTC)


def record(topic: str) -> Record:
    return Record(topic, 1, 7, 0, b"key", b"value", [(headers.ID, b"e:1")])


@pytest.mark.parametrize(
    ("group", "topic", "kind", "source", "event_id"),
    [
        ("acme.agent.credit-watch", "acme.erp.sales_order", "event", "credit-watch", "e:1"),
        ("acme.executor.erp", "acme.commands", "command", "erp", None),
        ("elsewhere", "other", "event", "elsewhere", "e:1"),
    ],
)
def test_a_skipped_record_is_a_dead_letter_of_who_would_have_read_it(
    group: str, topic: str, kind: str, source: str, event_id: str | None
) -> None:
    letter = skipped_letter("acme", group, record(topic), AT)

    assert (letter.kind, letter.source, letter.event_id) == (kind, source, event_id)
    assert (letter.topic, letter.partition, letter.offset) == (topic, 1, 7)
    assert (letter.key, letter.value, letter.error) == (b"key", b"value", SKIPPED)
    assert group in letter.reason
