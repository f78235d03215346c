"""Executors that die and freeze, on a real Kafka."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bridge.commands.codes import outcome_headers
from bridge.commands.receipts.builder import intent
from bridge.log.kafka import from_url
from bridge.model import headers
from bridge.model.system_records import target
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.commands.kill_executor import frozen, killed
from tests.commands.rpc_writer import RpcWriter, effects
from tests.commands.sqlite_executor import HEIR, executing, orders, sealed, send, tomorrow
from tests.commands.test_intent import commands, final_codes
from tests.waiting import WAIT_TIMEOUT_S

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


@dataclass(frozen=True)
class Broker:
    """A bridge of the test's own on the shared broker."""

    folder: Path
    url: str
    bridge: str

    @property
    def words(self) -> tuple[str, ...]:
        return ("--kafka", self.url, "--bridge", self.bridge)

    @asynccontextmanager
    async def world(self) -> AsyncIterator[ErpHarness]:
        log = from_url(self.url)
        async with open_erp(self.folder, partitions=1, log=log, bridge=self.bridge) as erp_harness:
            yield erp_harness

    @asynccontextmanager
    async def raw_producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.servers, transactional_id=f"{self.bridge}.raw"
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def until_written(self, topic: str, count: int) -> None:
        """Wait for so many records, committed or not."""
        async with asyncio.timeout(WAIT_TIMEOUT_S), self._raw_consumer(topic) as consumer:
            seen = 0
            while seen < count:
                records_by_partition = await consumer.getmany(timeout_ms=100)
                seen += sum(len(records) for records in records_by_partition.values())

    @asynccontextmanager
    async def _raw_consumer(self, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    @property
    def servers(self) -> str:
        return self.url.removeprefix("kafka://")


@pytest.fixture
def broker(kafka: Kafka, tmp_path: Path) -> Broker:
    return Broker(tmp_path, f"kafka://{kafka.bootstrap}", f"acme{uuid.uuid4().hex[:8]}")


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("step", ["before_intents", "after_intents", "acted:1", "before_receipts"])
async def test_killed_at_a_step_each_command_takes_effect_once(broker: Broker, step: str) -> None:
    sent = commands()
    async with broker.world() as here:
        await send(here, *sent)
    killed(broker.folder, step, "--rpc", *broker.words)
    before = effects(broker.folder)
    async with (
        broker.world() as here,
        executing(here, session=HEIR, writer=RpcWriter(broker.folder), ledger=False),
    ):
        actual_ends = await final_codes(here, *sent)
    assert effects(broker.folder) == {command.id: 1 for command in sent}
    assert actual_ends == ["reconciled" if before[command.id] else "succeeded" for command in sent]


@pytest.mark.usefixtures("processes")
async def test_an_executor_frozen_behind_its_intent_does_not_act_once_another_has(
    broker: Broker,
) -> None:
    (command,) = commands(1)
    after = sealed("note_order", "2", args={"reason": "x"})
    async with broker.world() as here:
        await send(here, command)
        with frozen(broker.folder, "after_intents", "--rpc", *broker.words) as executor:
            async with executing(here, session=HEIR, writer=RpcWriter(broker.folder), ledger=False):
                assert await final_codes(here, command) == ["succeeded"]
            executor.send_signal(signal.SIGCONT)
            await send(here, after)
            assert await final_codes(here, after) == ["succeeded"]
    assert effects(broker.folder) == {command.id: 1, after.id: 1}


@pytest.mark.usefixtures("processes")
async def test_what_a_successor_has_ended_an_executor_frozen_before_its_effect_leaves_alone(
    broker: Broker,
) -> None:
    today = datetime.now(UTC) + timedelta(hours=1)
    late = sealed("raise_total", key="late", deadline=today)
    after = sealed("raise_total", key="after")
    async with broker.world() as here:
        here.order(1, 1, 5)
        await send(here, late)
        with frozen(broker.folder, "before_legacy", *broker.words) as executor:
            async with executing(here, session=HEIR, clock=tomorrow):
                assert await final_codes(here, late) == ["deadline"]
            executor.send_signal(signal.SIGCONT)
            await send(here, after)
            assert await final_codes(here, after) == ["succeeded"]
        assert orders(here)["1"][0] == 6


async def test_an_intent_behind_somebody_elses_open_transaction_is_waited_for_and_asked_about(
    broker: Broker,
) -> None:
    """Readers see nothing behind an open transaction, so the index of receipts may lack an intent
    that has been committed. Acting on that would repeat the effect.
    """
    (command,) = commands(1)
    about = target("erp", "sales_order", {"order_no": "1"})
    writer = RpcWriter(broker.folder)
    word = intent(command, datetime.now(UTC))
    record_headers = [*outcome_headers(word, command.digest), (headers.INTENT, b"gone/1")]
    async with broker.world() as here, broker.raw_producer() as other:
        topic, entry = (
            here.codec.topic("receipt"),
            here.codec.entry("receipt", about, word, record_headers),
        )
        async with other.transaction():
            await other.send_and_wait(topic, entry.value, key=entry.key)
            await here.log.append(topic, [entry])
            await send(here, command)
            async with executing(here, writer=writer, ledger=False) as running:
                await broker.until_written(topic, 3)
                # Its own intent is the third, and it can't be read back yet.
                assert (writer.calls, writer.probed) == (0, [])
                assert not running.done()
                await other.commit_transaction()
                await other.begin_transaction()
                assert await final_codes(here, command) == ["succeeded"]
    assert writer.probed == [command.id]
    assert effects(broker.folder) == {command.id: 1}
