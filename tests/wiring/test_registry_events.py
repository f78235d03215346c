"""Records of change topics: whatever they hold and whoever wrote them, only one error comes out."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.log.port import Record
from bridge.model.event import Event
from bridge.wiring.registry_events import RegistryEventDecoder, UnreadableChange
from tests.agent.sqlite_erp import ErpHarness, MemoryRegistry, open_erp
from tests.hostile_values import SCHEMA_TEXTS, quick

TOPIC = "acme.erp.sales_order"
CHANGE_LIKE = st.sampled_from(
    [
        '{"type":"record","name":"Change","namespace":"erp.sales_order","fields":[]}',
        '{"type":"record","name":"Change","namespace":"erp.sales_order","fields":"x"}',
        '{"name":"Change","namespace":"erp.x","fields":[{"name":"before","type":["null",{}]}]}',
        '{"name":"Change","namespace":"erp.x","fields":[{"name":"before","type":[]}]}',
        '{"name":"Change","namespace":"erp.x","fields":{"a":1}}',
    ]
)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[tuple[ErpHarness, Record]]:
    """A bridge's log, and a good record of it."""
    async with open_erp(tmp_path) as here:
        await here.publish("sales_order", 1, [here.order(1, 1, 5)])
        (record,) = await here.raw(TOPIC)
        yield here, record


def looked_at(event: Event | None) -> None:
    """Every field of its rows, as a handler may."""
    for row in () if event is None else (event.before, event.after):
        for name in () if row is None else row.keys():
            row[name]


async def test_a_record_with_a_few_bytes_changed_is_an_event_or_unreadable(
    own: tuple[ErpHarness, Record],
) -> None:
    here, record = own
    events = RegistryEventDecoder(here.registry, {})
    chance = random.Random(8)  # noqa: S311 - the same each time
    outcomes: Counter[str] = Counter()
    for _ in range(2000):
        parts: dict[str, Any] = {}
        for name in ("key", "value"):
            changed = bytearray(getattr(record, name))
            for _ in range(chance.randint(0, 3)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            parts[name] = bytes(changed[: chance.choice([len(changed), chance.randrange(60)])])
        try:
            event = await events.decode(record._replace(**parts))
        except UnreadableChange:
            outcomes["unreadable"] += 1
            continue
        outcomes["event"] += 1
        # A row that can't be read fails the handler that looks at it, as any other error does.
        with suppress(Exception):
            looked_at(event)
    assert min(outcomes["unreadable"], outcomes["event"]) > 100


@quick
@given(SCHEMA_TEXTS | CHANGE_LIKE, st.binary(max_size=60))
async def test_any_schema_and_any_bytes_are_an_event_or_unreadable(
    schema: str, data: bytes
) -> None:
    registry = MemoryRegistry()
    number = await registry.register("x-value", schema)
    value = b"\0" + number.to_bytes(4, "big") + data
    record = Record(TOPIC, 0, 0, 0, data, value, [("ce_id", b"\xff")])
    with pytest.raises(UnreadableChange):
        await RegistryEventDecoder(registry, {}).decode(record)


async def test_a_record_full_of_empty_names_is_read_in_no_time(
    own: tuple[ErpHarness, Record],
) -> None:
    """As a tuple that grew it took hours, in which the process did nothing else."""
    here, record = own
    value = record.value or b""
    names = b"\0" * 400_000
    count = bytearray()
    number = len(names) * 2
    while number > 0x7F:
        count.append(number & 0x7F | 0x80)
        number >>= 7
    count.append(number)
    # Of a create `before` is null, so that the names come right behind `after`.
    (event,) = [await RegistryEventDecoder(here.registry, {}).decode(record)]
    assert event is not None
    away = value.index(event.position.encode()) - 2
    assert value[away] == 0
    full = value[:away] + bytes(count) + names + value[away:]
    started = time.process_time()
    read = await RegistryEventDecoder(here.registry, {}).decode(record._replace(value=full))
    assert time.process_time() - started < 10
    assert read is not None
    assert len(read.unavailable) == 400_000
