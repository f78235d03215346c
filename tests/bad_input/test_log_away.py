"""A broker or a registry that is down, at the start and later: told, waited for, nothing lost."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tests.bad_input.erp import demo_erp
from tests.bad_input.gate import Gate
from tests.bad_input.guarded_bridge import GuardedRun
from tests.bad_input.shop import postgres_shop
from tests.conftest import PrivateKafka
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.registry import RegistryServer
from tests.waiting import wait_until

ONE_SHOT = [
    ("check",),
    ("status",),
    ("tail", "customer", "--no-follow"),
    ("get", "customer", "1"),
    ("snapshot", "customer"),
    ("commands",),
    ("commands", "send", "block_order", "--key", "1", "--arg", "reason=x"),
    ("dead",),
    ("log", "topics"),
]


def test_a_broker_that_is_down_at_the_start_and_later_is_waited_for(
    tmp_path: Path, private_kafka: PrivateKafka
) -> None:
    broker = private_kafka(None)
    broker.kill()
    legacy = demo_erp(tmp_path / "erp", f"kafka://{broker.bootstrap}")
    bridge = legacy.bridge
    with bridge.running() as run:
        run.says(f"bridge.*no Kafka server answers: {broker.bootstrap}.*retrying")
        says = ("no Kafka server answers", broker.bootstrap)
        bridge.all_fail(*ONE_SHOT, code=1, says=says)
        broker.start()
        run.says("streaming")
        legacy.raise_exposure(1, 100)
        wait_until(lambda: legacy.exposures_of_updates() == ["1.00"], describe=run_text(run))

        broker.kill()
        legacy.raise_exposure(1, 200)
        bridge.fails("status", code=1, says=says)
        legacy.raise_exposure(1, 300)
        broker.start()
        legacy.raise_exposure(1, 400)
        wait_until(lambda: len(legacy.exposures_of_updates()) >= 4, describe=run_text(run))
    assert legacy.exposures_of_updates() == ["1.00", "2.00", "3.00", "4.00"]
    assert legacy.is_in_the_log()


def test_a_registry_that_is_down_at_the_start_and_later_is_waited_for(
    tmp_path: Path, kafka: Kafka, registry: RegistryServer, postgres: Postgres, database: str
) -> None:
    registry_address = urlsplit(registry.url)
    with Gate(registry_address.hostname or "", registry_address.port or 80) as gate:
        url = f"http://127.0.0.1:{gate.port}{registry_address.path}"
        log = f"kafka://{kafka.bootstrap}?registry={url}"
        legacy = postgres_shop(
            tmp_path / "shop", postgres, database, log=log, bridge=f"down{os.getpid()}"
        )
        legacy.set_up()
        bridge = legacy.bridge
        says = (f"registry http://127.0.0.1:{gate.port}", "is away")
        with bridge.running() as run:
            run.says(f"bridge.*{' '.join(says)}.*retrying".replace(" is", ".* is"))
            bridge.all_fail(("check",), ("tail", "article", "--no-follow"), code=1, says=says)
            gate.open()
            run.says("streaming")
            legacy.sql("update article set price = 1")
            bridge.until_changes("article", 1)

            # Schemas that are known need no registry; a new column does.
            gate.close()
            legacy.sql(
                "update article set price = 2",
                "alter table article add column colour text",
                "update article set price = 3, colour = 'red'",
            )
            run.says(f"source state.*{registry_address.path}.* is away.*state=retrying")
            gate.open()
            legacy.sql("update article set price = 4")
            changes = bridge.until_changes("article", 4)
        cup = {"id": 1, "name": "cup"}
        assert [row for _, row in changes] == [
            {**cup, "price": "1.00"},
            {**cup, "price": "2.00"},
            {**cup, "price": "3.00", "colour": "red"},
            {**cup, "price": "4.00", "colour": "red"},
        ]
    bridge.stores_no_secret()
    postgres.drop_database(database)
    postgres.execute(f"drop role {legacy.user}")


def run_text(run: GuardedRun) -> Callable[[], str]:
    """What it has said, for a wait that was in vain."""
    return lambda: run.text
