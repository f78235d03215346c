"""New commands in place of old ones: the same ones whoever asks, written with their audit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bridge.commands.manual.retry import RetriedCommand, RetryRequest, retry_of, send_retries
from bridge.model.command import Command, command_id, seal
from bridge.model.system_records import target
from tests.agent.sqlite_erp import ErpHarness, open_erp
from tests.services.kafka import Kafka

NOW = datetime.now(UTC)
THEN = NOW - timedelta(minutes=1)
REQUEST = RetryRequest("person-ann", "the GRANT is there", None, NOW)


def test_a_new_commands_id_follows_from_the_old_one_whoever_asks_and_when() -> None:
    old = seal(
        Command("erp.block_order", {"order_no": "1"}, {"reason": "x"}),
        {"order_no": "1"},
        agent="watch",
        requested_at=THEN,
        idempotency_key="1",
    )
    new = retry_of(old, REQUEST)
    other = retry_of(old, replace(REQUEST, by="person-ben", at=NOW + timedelta(days=1)))
    assert new.id == other.id != old.id
    assert new.id == command_id(new.agent, new.idempotency_key)
    assert (new.digest, new.key, new.args) == (old.digest, old.key, old.args)
    assert retry_of(new, REQUEST).id not in {old.id, new.id}


async def _send(here: ErpHarness, name: str) -> None:
    old = seal(
        Command("erp.block_order", {"order_no": "1"}, {"reason": "x"}),
        {"order_no": "1"},
        agent="watch",
        requested_at=THEN,
        idempotency_key="1",
    )
    order_target = target("erp", "sales_order", {"order_no": "1"})
    retries = [RetriedCommand(old.id, retry_of(old, REQUEST), order_target)] * 3
    counts: list[int] = []
    await send_retries(
        here.log, here.codec, name, retries, request=REQUEST, report_written=counts.append
    )
    assert counts == [3]
    assert len(await here.records("command")) == 3
    assert len(await here.records("audit")) == 3


async def test_commands_and_audit_are_written_together_into_the_embedded_log(
    here: ErpHarness,
) -> None:
    await _send(here, here.bridge)


async def test_and_into_kafka(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> None:
    from bridge.log.kafka import from_url

    log = from_url(f"kafka://{kafka.bootstrap}")
    folder = tmp_path_factory.mktemp("retry")
    async with open_erp(folder, partitions=1, log=log, bridge="retried") as here:
        await _send(here, here.bridge)
