"""Moving a log: embedded to embedded, and embedded to Kafka with another registry."""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bridge.log.copy import Copying
from bridge.log.embedded import EmbeddedLog
from bridge.log.kafka import from_url
from bridge.log.port import Entry, Log, Record, TopicSpec
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.log.registry.http import HttpRegistry
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.system_records import DeadLetter
from bridge.plan.murmur2 import partition

if TYPE_CHECKING:
    from tests.services.kafka import Kafka
    from tests.services.registry import RegistryServer as Server
from tests.log.copied_logs import (
    AT,
    HISTORY,
    LATER,
    Orders,
    Side,
    commit,
    histories,
    ids,
    move,
    opened,
)


@pytest.fixture
def bridge() -> str:
    return f"acme{secrets.token_hex(3)}"


@pytest.fixture
async def source(tmp_path: Path, bridge: str) -> AsyncIterator[Side]:
    log = EmbeddedLog(tmp_path / "source.db", compact_every=None)
    side = await opened(log, EmbeddedRegistry(log, bridge), bridge)
    yield side
    await side.registry.close()
    await side.log.close()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.registry)])
async def target(
    request: pytest.FixtureRequest, tmp_path: Path, bridge: str
) -> AsyncIterator[Side]:
    log: Log
    registry: Registry
    if request.param == "embedded":
        log = EmbeddedLog(tmp_path / "target.db", compact_every=None)
        registry = EmbeddedRegistry(log, bridge)
    else:
        broker: Kafka = request.getfixturevalue("kafka")
        server: Server = request.getfixturevalue("registry")
        log = from_url(f"kafka://{broker.bootstrap}")
        registry = HttpRegistry(server.url)
    side = await opened(log, registry, bridge)
    # Ids differ from the source's, as in a registry that others use, too.
    for number in range(3):
        other = f'{{"type":"fixed","name":"F{secrets.token_hex(4)}","size":{number + 1}}}'
        await registry.register(f"other{secrets.token_hex(4)}-value", other)
    yield side
    await side.registry.close()
    await side.log.close()


@pytest.fixture
async def orders(source: Side) -> Orders:
    writing = Orders(source)
    await writing.open()
    return writing


async def test_every_key_has_the_same_history_with_new_schema_ids(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(900)
    await orders.write(300, entity=LATER)

    done = await move(source, target)

    assert (done.records, done.left) == (1200 + 12, 0)
    assert await histories(target) == await histories(source)
    old = {record.key[:5] for record in await source.records(source.orders) if record.key}
    new = {record.key[:5] for record in await target.records(target.orders) if record.key}
    assert old.isdisjoint(new)
    for record in await target.records(target.orders):
        assert record.partition == partition(record.key, 4)


async def test_topics_keep_what_they_are(source: Side, target: Side, orders: Orders) -> None:
    await orders.write(10)

    await move(source, target)

    old, new = await source.log.topics(), await target.log.topics()
    for name in (source.orders, f"{source.bridge}.commands", f"_{source.bridge}.positions"):
        assert new[name].partitions == old[name].partitions
        assert new[name].spec.cleanup == old[name].spec.cleanup
        assert new[name].spec.history_ms == old[name].spec.history_ms


async def test_checkpoints_arrive_as_they_are(source: Side, target: Side, orders: Orders) -> None:
    await orders.write(250)

    await move(source, target)

    positions = f"_{source.bridge}.positions"
    old, new = await source.records(positions), await target.records(positions)
    assert [(r.key, r.value, r.timestamp) for r in new] == [
        (r.key, r.value, r.timestamp) for r in old
    ]
    assert json.loads(new[-1].value or b"")["number"] == 250


async def test_groups_go_on_exactly_where_they_were(
    source: Side, target: Side, orders: Orders
) -> None:
    """Although new ids give every key another partition."""
    await orders.write(1000)
    groups = {"none": 0.0, "some": 0.3, "most": 0.9, "all": 1.0}
    for group, share in groups.items():
        if share:
            await commit(source, f"{source.bridge}.{group}", share)

    await move(source, target)

    for group, share in groups.items():
        if share:
            name = f"{source.bridge}.{group}"
            before = await source.unhandled(name, source.orders)
            after = await target.unhandled(name, target.orders)
            assert ids(after) == ids(before), group


async def test_groups_that_overtake_each_other_lose_nothing(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(1000)
    await commit(source, "left", 0.5, but=frozenset({2, 3}))
    await commit(source, "right", 0.5, but=frozenset({0, 1}))

    await move(source, target)

    for group in ("left", "right"):
        before = set(ids(await source.unhandled(group, source.orders)))
        after = set(ids(await target.unhandled(group, target.orders)))
        assert before <= after


class Interrupted(Exception):
    """What ends a run in the middle."""


async def test_a_run_that_was_interrupted_goes_on_without_gap_or_repeat(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(3000)
    await commit(source, "half", 0.5)

    def after(calls: int) -> Callable[[Copying], None]:
        left = iter(range(calls))

        def end_early(_: Copying) -> None:
            if next(left) == calls - 1:
                raise Interrupted

        return end_early

    for calls in (1, 4, 3):
        with pytest.raises(Interrupted):
            await move(source, target, progress=after(calls))
    last = await move(source, target)

    assert 0 < last.records < 3030
    assert await histories(target) == await histories(source)
    before = await source.unhandled("half", source.orders)
    assert ids(await target.unhandled("half", target.orders)) == ids(before)


async def test_a_second_run_carries_only_what_came_since(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(500)
    await commit(source, "agent", 1.0)
    await move(source, target)
    assert (await move(source, target)).records == 0

    await commit(source, "agent", 1.0)
    await orders.write(200, entity=LATER)
    again = await move(source, target)

    assert again.records == 202
    assert await histories(target) == await histories(source)
    before = await source.unhandled("agent", source.orders)
    assert ids(await target.unhandled("agent", target.orders)) == ids(before)
    assert len(before) == 200


async def test_a_group_that_went_on_between_two_runs_loses_nothing(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(500)
    await commit(source, "agent", 0.2)
    await move(source, target)
    await commit(source, "agent", 0.6)
    await orders.write(100)

    await move(source, target)

    before = set(ids(await source.unhandled("agent", source.orders)))
    assert before <= set(ids(await target.unhandled("agent", target.orders)))


async def test_a_target_that_holds_something_else_is_refused(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(100)
    await target.log.create_topics([TopicSpec(target.orders, "compact", 4, HISTORY)])
    await target.log.append(target.orders, [Entry(b"k", b"foreign")])

    with pytest.raises(ConfigurationError, match=r"not copied from sqlite.*source\.db"):
        await move(source, target)

    assert len(await target.records(target.orders)) == 1


async def test_a_target_that_was_written_to_since_is_refused(
    source: Side, target: Side, orders: Orders
) -> None:
    """The bridge runs on the new log: what the old one holds is history now."""
    await orders.write(100)
    await move(source, target)
    await target.log.append(target.orders, [Entry(b"k", b"by the bridge")])
    await orders.write(100)

    with pytest.raises(ConfigurationError, match="copy into an empty log"):
        await move(source, target)

    assert len(await target.records(target.orders)) == 101


async def test_a_running_bridge_is_refused(source: Side, target: Side, orders: Orders) -> None:
    await orders.write(100)
    await commit(source, "agent", 0.5)
    member = await source.log.join("agent", [source.orders])
    while not member.assignment():
        await member.read(10, 0.2)

    with pytest.raises(Rejected, match="group agent still has live members: stop the bridge"):
        await move(source, target)
    await member.close()


async def test_another_source_into_the_same_target_is_refused(
    source: Side, target: Side, orders: Orders, tmp_path: Path
) -> None:
    await orders.write(10)
    await move(source, target)
    log = EmbeddedLog(tmp_path / "other.db", compact_every=None)
    other = await opened(log, EmbeddedRegistry(log, source.bridge), source.bridge)

    with pytest.raises(ConfigurationError, match=r"was copied from sqlite.*source\.db"):
        await move(other, target)

    await other.registry.close()
    await log.close()


async def test_dead_letters_keep_what_was_set_aside_in_a_readable_form(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(20)
    event = (await source.records(source.orders))[0]
    codec = SystemTopicCodec(source.registry, source.bridge)
    await codec.open()
    await source.log.create_topics([TopicSpec(codec.topic("dead"), "delete", 1)])
    letter = DeadLetter(
        "event",
        "credit-watch",
        "boom",
        AT,
        topic=event.topic,
        partition=event.partition,
        offset=event.offset,
        key=event.key,
        value=event.value,
    )
    await source.log.append(codec.topic("dead"), [codec.entry("dead", "credit-watch", letter)])

    await move(source, target)

    theirs = SystemTopicCodec(target.registry, target.bridge)
    await theirs.open()
    [record] = await target.records(theirs.topic("dead"))
    moved = await theirs.decode("dead", record.value or b"")
    assert isinstance(moved, DeadLetter)
    assert (moved.reason, moved.partition, moved.offset) == ("boom", None, None)
    assert await target.decoded(moved.key) == await source.decoded(event.key)
    assert await target.decoded(moved.value) == await source.decoded(event.value)
    assert theirs.decode_key("dead", record.key or b"") == "credit-watch"


async def test_the_key_of_a_row_that_became_no_event_is_its_entity_s_key_in_the_target(
    source: Side, target: Side, orders: Orders
) -> None:
    """A letter of another program, whose key is no key of the entity, loses the key alone."""
    await orders.write(20)
    event = (await source.records(source.orders))[0]
    _, _, entity = source.orders.partition(".")
    codec = SystemTopicCodec(source.registry, source.bridge)
    await codec.open()
    await source.log.create_topics([TopicSpec(codec.topic("dead"), "delete", 1)])
    foreign = await source.registry.register("x-key", '"long"')
    letters = [
        DeadLetter("row", entity, "no date", AT, key=event.key),
        DeadLetter("row", entity, "odd", AT, key=b"\0" + foreign.to_bytes(4, "big") + b"\x02"),
    ]
    await source.log.append(
        codec.topic("dead"), [codec.entry("dead", entity, letter) for letter in letters]
    )

    await move(source, target)

    theirs = SystemTopicCodec(target.registry, target.bridge)
    await theirs.open()
    moved = [
        await theirs.decode("dead", record.value or b"")
        for record in await target.records(theirs.topic("dead"))
    ]
    row, odd = (letter for letter in moved if isinstance(letter, DeadLetter))
    assert row.key in {record.key for record in await target.records(target.orders)}
    assert await target.decoded(row.key) == await source.decoded(event.key)
    assert (odd.reason, odd.key) == ("odd", None)


async def test_what_is_no_letter_or_holds_what_nobody_can_read_keeps_no_copy_from_its_end(
    source: Side, target: Side
) -> None:
    codec = SystemTopicCodec(source.registry, source.bridge)
    await codec.open()
    topic = codec.topic("dead")
    await source.log.create_topics([TopicSpec(topic, "delete", 1)])
    foreign = await source.registry.register("x-value", '"string"')
    letter = DeadLetter(
        "event", "watch", "no schema", AT, "t", 0, 1, key=b"k", value=b"\0\xff\0\0\0x"
    )
    junk = [
        Entry(b"k", b"junk"),
        Entry(b"k", b"\0" + foreign.to_bytes(4, "big") + b"\x02a"),
        codec.entry("dead", "watch", letter),
    ]
    await source.log.append(topic, junk)

    await move(source, target)

    theirs = SystemTopicCodec(target.registry, target.bridge)
    await theirs.open()
    first, second, third = await target.records(theirs.topic("dead"))
    assert first.value == b"junk"
    assert await target.decoded(second.value) == "a"
    moved = await theirs.decode("dead", third.value or b"")
    assert isinstance(moved, DeadLetter)
    assert (moved.reason, moved.key, moved.value) == ("no schema", b"k", None)


async def test_a_topic_can_be_translated_or_left_out(
    source: Side, target: Side, orders: Orders
) -> None:
    await orders.write(10)
    positions, commands = f"_{source.bridge}.positions", f"{source.bridge}.commands"

    async def upper(record: Record, _: object) -> Entry:
        return Entry((record.key or b"").upper(), record.value)

    await move(source, target, translate={positions: upper}, leave_out=[commands])

    assert {record.key for record in await target.records(positions)} == {b"ERP"}
    assert commands not in await target.log.topics()
