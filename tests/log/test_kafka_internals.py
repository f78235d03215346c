"""What the adapter relies on of aiokafka without being promised it.

A test that fails here after an upgrade says what to look at in `bridge.log.kafka.internals`.
"""

import asyncio
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiokafka
import pytest
from aiokafka.consumer import fetcher, group_coordinator, subscription_state
from aiokafka.producer import message_accumulator, sender, transaction_manager

from bridge.log.kafka import internals
from bridge.log.kafka.batches import batches
from bridge.log.port import Entry

if TYPE_CHECKING:
    from tests.services.kafka import Kafka


def source(module: object) -> str:
    return Path(str(inspect.getsourcefile(module))).read_text()  # type: ignore[arg-type]


def test_the_wait_between_transactions_is_a_constant_that_is_looked_up_when_needed() -> None:
    """BACKOFF_OVERRIDE is lowered in the adapter: whoever renames or inlines it undoes that."""
    text = source(sender)
    assert "BACKOFF_OVERRIDE = 0.02 " in text
    handler = inspect.getsource(sender.AddPartitionsToTxnHandler.handle_response)
    assert "return BACKOFF_OVERRIDE" in handler
    assert sender.BACKOFF_OVERRIDE == internals.TRANSACTION_BACKOFF_S == 0.002


def test_a_commit_ignores_batches_that_were_refused() -> None:
    """So the adapter waits for each delivery itself. If this changes, that may go."""
    flush = inspect.getsource(message_accumulator.MessageAccumulator.flush_for_commit)
    assert "asyncio.wait(waiters)" in flush
    assert ".result()" not in flush


def test_a_transaction_remembers_one_group_only() -> None:
    text = inspect.getsource(transaction_manager.TransactionManager.consumer_group_to_add)
    assert "if self._txn_consumer_group is not None:\n            return None" in text


def test_a_partition_can_be_added_before_there_is_a_batch_for_it() -> None:
    """`partition_added` is looked up where it is called; a failure is told to who awaits the end."""
    manager = transaction_manager.TransactionManager
    assert "txn_manager.partition_added(tp)" in inspect.getsource(sender.AddPartitionsToTxnHandler)
    assert "self._pending_txn_partitions.add(tp)" in inspect.getsource(
        manager.maybe_add_partition_to_txn
    )
    for failing in (manager.error_transaction, manager.fatal_error):
        assert "_transaction_waiter.set_exception(exc)" in inspect.getsource(failing)


def test_what_is_used_of_the_clients_is_still_there() -> None:
    producer = inspect.getsource(aiokafka.AIOKafkaProducer.__init__)
    for name in ("_txn_manager", "_sender", "_message_accumulator"):
        assert f"self.{name} = " in producer
    consumer = inspect.getsource(aiokafka.AIOKafkaConsumer.__init__)
    for name in ("_subscription", "_fetcher", "_coordinator"):
        assert f"self.{name} = " in consumer
    assert "self._coordination_task = create_task" in source(group_coordinator)
    assert "self._fetch_task = create_task" in source(fetcher)
    assert "self._pending_tasks = set()" in source(fetcher)
    assert isinstance(subscription_state.TopicPartitionState.has_valid_position, property)


def test_an_assignment_is_told_before_the_first_heartbeat() -> None:
    """So telling it must not wait for the caller's next read, or the session may end."""
    text = inspect.getsource(group_coordinator.GroupCoordinator.ensure_active_group)
    assert text.index("_do_rejoin_group") < text.index("_start_heartbeat_task")


async def failed_in_mid_retry(producer: Any) -> list[str]:
    """What asyncio has to say when a producer fails while a batch waits to be sent again."""
    messages: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: messages.append(repr(context.get("exception")))
    )
    accumulator = producer._message_accumulator
    partition = aiokafka.TopicPartition("t", 0)
    [batch] = batches("t", [Entry(b"k", b"v")], 1, transactional=False)
    delivery = await accumulator.add_batch(batch, partition, 1)
    accumulator.reenqueue(accumulator._pop_batch(partition))
    await internals.kill(producer)
    for _ in range(3):
        await asyncio.sleep(0)
    assert isinstance(delivery.exception(), aiokafka.errors.KafkaTimeoutError)
    return messages


async def test_a_producer_that_ends_while_a_batch_waits_for_its_retry_is_quiet() -> None:
    client = aiokafka.AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    assert await failed_in_mid_retry(internals.forgiving(client)) == []


async def test_aiokafka_itself_is_not_quiet_then() -> None:
    """If this fails, aiokafka has fixed it, and `forgiving` may go."""
    client = aiokafka.AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    [messages] = await failed_in_mid_retry(client)
    assert messages.startswith("KeyError")


async def test_who_ends_a_producer_and_is_cancelled_meanwhile_is_cancelled(kafka: "Kafka") -> None:
    """At whichever step of it: capture would go on otherwise, although it was told to end."""
    for steps in range(12):
        client = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)
        await client.start()
        ending = asyncio.create_task(internals.kill(client))
        for _ in range(steps):
            await asyncio.sleep(0)
        if ending.done():
            continue
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        await client.stop()


def test_a_position_that_is_out_of_range_is_given_up_by_a_method_of_its_state() -> None:
    """So what was removed before a group is noticed; a state takes attributes."""
    processing = inspect.getsource(fetcher.Fetcher._proc_fetch_request)
    assert "tp_state.await_reset(self._default_reset_strategy)" in processing
    assert "tp_state.position != fetch_offset" in processing
    assert not hasattr(subscription_state.TopicPartitionState, "__slots__")
