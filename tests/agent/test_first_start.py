"""Where a new agent begins, on both logs; what is there before it is counted and said."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bridge.agent import Agent, Context
from bridge.agent.first_start import commit_end_offsets, first_offsets, parse_start, unread_topics
from bridge.agent.group import agent_group
from bridge.log.kafka import from_url
from bridge.log.port import Entry, TopicPartition, TopicSpec
from bridge.model.errors import ConfigurationError
from bridge.model.event import Event
from bridge.model.names import change_topic
from bridge.observe import GroupJoined, GroupMoved, Notice
from tests.agent.running_agent import running
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.waiting import until

if TYPE_CHECKING:
    from tests.services.kafka import Kafka

OLD = 20


@pytest.fixture(params=["embedded", "kafka"])
async def here(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ErpHarness]:
    """A log with old orders and nobody who has read them."""
    log: Any = None
    name = f"acme{uuid.uuid4().hex[:8]}"
    if request.param == "kafka":
        broker: Kafka = request.getfixturevalue("kafka")
        log = from_url(f"kafka://{broker.bootstrap}")
    async with open_erp(tmp_path, log=log, bridge=name) as erp:
        await publish(erp, range(1, OLD + 1))
        yield erp


async def publish(here: ErpHarness, numbers: range) -> None:
    await here.publish("sales_order", 1, [here.order(n, n, 5) for n in numbers])


def listener(seen: list[int], **options: Any) -> Agent:
    agent = Agent("listener", **options)

    @agent.on("erp.sales_order")
    async def hear(event: Event, ctx: Context) -> None:
        seen.append(int(event.after.order_no))

    return agent


async def committed(here: ErpHarness, agent: str = "listener") -> dict[TopicPartition, int]:
    info = (await here.log.groups()).get(agent_group(here.bridge, agent))
    return {} if info is None else dict(info.committed)


async def all_committed(here: ErpHarness) -> bool:
    topic = change_topic(here.bridge, "erp", "sales_order")
    count = (await here.log.topics())[topic].partitions
    return (
        len([partition for partition in await committed(here) if partition.topic == topic]) == count
    )


def reasons(notices: list[Notice]) -> list[str]:
    return [n.reason for n in notices if isinstance(n, GroupMoved)]


async def test_a_new_agent_begins_at_the_beginning_and_says_how_much_that_is(
    here: ErpHarness,
) -> None:
    seen: list[int] = []
    notices: list[Notice] = []
    async with running(here, listener(seen), notices):
        await until(lambda: len(seen) == OLD)
    [reason] = reasons(notices)
    assert "handles up to" in reason
    assert "old events" in reason
    assert f"from {datetime.now(UTC):%Y-%m}" in reason
    assert f"bridgectl log offsets reset {agent_group(here.bridge, 'listener')} --to end" in reason
    assert "Agent('listener', start=\"now\")" in reason


async def test_one_that_begins_now_handles_what_comes_and_stays_where_it_began(
    here: ErpHarness,
) -> None:
    """Stopped before its first event, it must not begin at a later now."""
    seen: list[int] = []
    notices: list[Notice] = []
    async with running(here, listener(seen, start="now"), notices):
        await until(lambda: all_committed(here))
    [reason] = reasons(notices)
    assert "skips up to" in reason
    await publish(here, range(101, 111))
    more: list[Notice] = []
    async with running(here, listener(seen, start="now"), more):
        await until(lambda: len(seen) == 10)
    assert sorted(seen) == list(range(101, 111))
    assert reasons(more) == [], "it is new once"


async def test_one_that_dies_as_soon_as_it_has_begun_now_loses_no_event_that_comes_meanwhile(
    here: ErpHarness,
) -> None:
    """Its first offset was committed half a second later; whoever came next began at a later now."""
    seen: list[int] = []
    notices: list[Notice] = []
    async with running(here, listener(seen, start="now"), notices) as task:
        await until(lambda: any(isinstance(n, GroupJoined) for n in notices))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await publish(here, range(101, 111))
    async with running(here, listener(seen, start="now")):
        await until(lambda: len(seen) == 10)
    assert sorted(seen) == list(range(101, 111))


async def test_two_that_begin_now_at_once_agree_where(here: ErpHarness) -> None:
    seen: list[int] = []
    async with (
        running(here, listener(seen, start="now")),
        running(here, listener(seen, start="now")),
    ):
        await until(lambda: all_committed(here))
        await publish(here, range(101, 111))
        await until(lambda: len(seen) >= 10)
    assert set(seen) == set(range(101, 111))


async def test_what_comes_into_a_topic_that_is_made_after_it_began_now_is_all_its_own(
    tmp_path: Path,
) -> None:
    async with open_erp(tmp_path) as here:
        group = agent_group(here.bridge, "listener")
        await publish(here, range(1, OLD + 1))
        topic = change_topic(here.bridge, "erp", "sales_order")
        places = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        late = "later.sales_order"
        await commit_end_offsets(here.log, here.bridge, group, [topic, late])
        assert await here.log.committed(group, places) == await here.log.end_offsets(places)
        await here.log.create_topics([TopicSpec(late, partitions=2)])
        new = [TopicPartition(late, 0), TopicPartition(late, 1)]
        assert await first_offsets(here.log, group, new, "now") == {}
        # One partition of a topic that it reads is its own from the first record, too.
        await here.log.reset_offsets(group, {new[0]: 0})
        await here.log.append(late, [Entry(b"k", b"v")])
        await commit_end_offsets(here.log, here.bridge, group, [topic, late])
        assert (await here.log.committed(group, new))[new[1]] is None


async def test_one_may_begin_at_an_instant(here: ErpHarness) -> None:
    seen: list[int] = []
    notices: list[Notice] = []
    later = datetime.now(UTC) + timedelta(hours=1)
    async with running(here, listener(seen, start=later.isoformat()), notices):
        await until(lambda: all_committed(here))
        await publish(here, range(101, 103))
        await until(lambda: len(seen) == 2)
    assert sorted(seen) == [101, 102]
    assert "those from" in reasons(notices)[0]
    everything: list[int] = []
    earlier = Agent("early", start=datetime.now(UTC) - timedelta(hours=1))
    earlier.on("erp.sales_order")(hearing(everything))
    async with running(here, earlier):
        await until(lambda: len(everything) == OLD + 2)


def hearing(seen: list[int]) -> Any:
    async def hear(event: Event, ctx: Context) -> None:
        seen.append(int(event.after.order_no))

    return hear


async def test_offsets_that_were_set_before_it_ever_ran_count(here: ErpHarness) -> None:
    group = agent_group(here.bridge, "listener")
    topic = change_topic(here.bridge, "erp", "sales_order")
    count = (await here.log.topics())[topic].partitions
    places = [TopicPartition(topic, number) for number in range(count)]
    [unread] = await unread_topics(here.log, group, [topic])
    assert unread.events >= OLD
    await here.log.reset_offsets(group, await here.log.end_offsets(places))
    assert await unread_topics(here.log, group, [topic]) == []
    seen: list[int] = []
    notices: list[Notice] = []
    async with running(here, listener(seen), notices):
        await publish(here, range(101, 104))
        await until(lambda: len(seen) == 3)
    assert sorted(seen) == [101, 102, 103]
    assert reasons(notices) == []


@pytest.mark.parametrize(
    "start",
    ["later", "2026-01-31T10:00", datetime.fromisoformat("2026-01-31"), 17, None, "beginning "],
)
def test_a_start_that_means_nothing_is_refused_where_it_stands(start: Any) -> None:
    with pytest.raises(ConfigurationError, match="agent 'a': start: "):
        Agent("a", start=start)


def test_an_instant_keeps_its_zone() -> None:
    at = parse_start("2026-01-31T10:00+02:00")
    assert at == datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=2)))
