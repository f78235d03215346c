"""Commands that were removed before they were executed: nothing goes on until a person says so."""

from __future__ import annotations

import asyncio

import pytest

from bridge.commands.group import executor_group
from bridge.log.port import TopicPartition
from bridge.model.errors import ConfigurationError
from bridge.model.receipt import Receipt
from bridge.model.system_records import SystemRecord
from bridge.observe import GroupMoved, Notice
from tests.agent.sqlite_erp import ErpHarness
from tests.commands.sqlite_executor import executing, sealed, send
from tests.log.removal import remove_embedded
from tests.waiting import until


async def test_an_executor_refuses_to_go_on_after_commands_that_were_removed(
    here: ErpHarness,
) -> None:
    """Five of them were never executed, without a receipt."""
    here.order(1, 1, 5)
    records = [sealed("note_order", key=f"k{number}", args={"reason": "x"}) for number in range(5)]
    for record in records:
        await send(here, record)
    topic = here.codec.topic("command")
    [partition] = [
        partition
        for partition, end in (
            await here.log.end_offsets([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        ).items()
        if end
    ]
    group = executor_group(here.bridge, "erp")
    await here.log.reset_offsets(group, {partition: 1})
    await asyncio.to_thread(remove_embedded, here.folder / "log.db", partition, 4)
    notices: list[Notice] = []
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"up to 3 records .* log offsets skip") as no:
            async with executing(here, observer=notices.append) as task:
                await task
        assert group in str(no.value)
    [notice, _] = [each for each in notices if isinstance(each, GroupMoved)]
    assert notice.missing == 3
    assert await here.records("receipt") == []
    await here.log.reset_offsets(group, {partition: 4})

    async def receipts() -> list[SystemRecord]:
        return await here.records("receipt")

    async with executing(here):
        await until(receipts)
    [receipt] = await receipts()
    assert isinstance(receipt, Receipt)
    assert (receipt.command_id, receipt.outcome) == (records[4].id, "succeeded")
