"""The servers do what the tests of everything else take for granted."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.conftest import PrivateKafka, PrivatePostgres
from tests.services.cap import Cap, order_id
from tests.services.kafka import Kafka
from tests.services.odatapy import Odatapy
from tests.services.ports import free_ports
from tests.services.postgres import Mode, Postgres
from tests.services.registry import RegistryServer
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


def test_postgres_decodes_its_log(postgres: Postgres, database: str) -> None:
    postgres.execute("CREATE TABLE t (id int PRIMARY KEY)", url=database)
    postgres.execute(
        "SELECT pg_create_logical_replication_slot('services', 'test_decoding')", url=database
    )
    postgres.execute("INSERT INTO t VALUES (1)", url=database)
    decoded = postgres.execute(
        "SELECT data FROM pg_logical_slot_get_changes('services', NULL, NULL)", url=database
    )
    assert ("table public.t: INSERT: id[integer]:1",) in decoded
    assert (postgres.bindir / "pg_recvlogical").exists()


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
def test_postgres_keeps_its_data_over_a_restart(
    private_postgres: PrivatePostgres, mode: Mode
) -> None:
    server = private_postgres()
    server.execute("CREATE TABLE t AS SELECT 1 AS n")
    server.restart(mode)
    assert server.execute("SELECT n FROM t") == [(1,)]


def test_a_role_other_than_the_superuser_needs_its_password(postgres: Postgres) -> None:
    postgres.execute("CREATE ROLE clerk LOGIN PASSWORD 'right'")
    psycopg.connect(postgres.url_of("postgres", "clerk", "right")).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url_of("postgres", "clerk", "wrong"))
    postgres.execute("DROP ROLE clerk")


def test_a_missing_standby_does_not_block_setting_up(private_postgres: PrivatePostgres) -> None:
    server = private_postgres({"synchronous_standby_names": "nobody"})
    url = server.new_database()
    server.execute("CREATE TABLE t AS SELECT 1 AS n", url=url)
    assert server.execute("SHOW synchronous_standby_names") == [("nobody",)]


async def test_kafka_commits_a_transaction(kafka: Kafka) -> None:
    topic = await new_topic(kafka, "services")
    await produce(kafka, topic, b"1")
    assert await consume(kafka, topic, 1) == [b"1"]


async def test_kafka_keeps_its_data_over_a_kill(private_kafka: PrivateKafka) -> None:
    broker = private_kafka()
    topic = await new_topic(broker, "kills")
    await produce(broker, topic, b"1")
    broker.kill()
    broker.start()
    await produce(broker, topic, b"2")
    assert await consume(broker, topic, 2) == [b"1", b"2"]


def test_the_registry_registers_a_schema(registry: RegistryServer) -> None:
    answer = httpx.post(
        f"{registry.url}/subjects/services-value/versions", json={"schema": '{"type":"string"}'}
    )
    assert answer.json()["id"] > 0


def test_cap_serves_orders_by_v4_and_v2_and_counts_requests(cap: Cap) -> None:
    cap.fill(orders=3, lines=2)
    with cap.client() as client:
        order = client.get(f"Orders({order_id(2)})", params={"$expand": "lines"}).json()
        older = client.get(f"{cap.v2}Orders", params={"$format": "json"}).json()
    assert (order["number"], len(order["lines"]), order["total"]) == ("0000000002", 2, "20.00")
    assert [row["number"][-1] for row in older["d"]["results"]] == ["0", "1", "2"]
    assert cap.count()[:2] == (1, 1)


def test_cap_keeps_its_data_over_a_stop(cap: Cap) -> None:
    cap.fill(orders=3)
    with cap.client() as client:
        before = client.get("Orders").json()
        cap.stop()
        cap.start()
        assert client.get("Orders").json() == before


def test_odatapy_tells_changes_and_lets_delta_links_expire(odatapy: Odatapy) -> None:
    with odatapy.client() as client:
        client.post("Suites", json={"order_no": "1", "qty": 1}).raise_for_status()
        tracked = client.get("Suites", headers={"Prefer": "odata.track-changes"}).json()
        client.delete("Suites('1')").raise_for_status()
        odatapy.stop()
        odatapy.start()
        delta = client.get(tracked["@odata.deltaLink"])
        odatapy.expire()
        assert client.get(tracked["@odata.deltaLink"]).status_code == 410
        later = client.get("Suites", headers={"Prefer": "odata.track-changes"}).json()
        assert client.get(later["@odata.deltaLink"]).json()["value"] == []
    assert "@removed" in delta.json()["value"][0]


def test_a_server_ends_with_the_process_that_started_it(postgres: Postgres) -> None:
    """A test run that is killed must not leave servers behind."""
    code = (
        "from tests.services import provide; import time\n"
        "with provide.private_postgres() as p: print(p.pid, flush=True); time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    server = int(starter.stdout.readline())
    starter.kill()
    starter.communicate()
    wait_until(lambda: not alive(server))


def test_a_database_that_was_killed_starts_once_its_last_session_has_noticed(
    private_postgres: PrivatePostgres,
) -> None:
    server = private_postgres()
    with psycopg.connect(server.url) as session:
        frozen = session.info.backend_pid
        os.kill(frozen, signal.SIGSTOP)
        try:
            server.kill()
            starting = threading.Thread(target=server.start, daemon=True)
            starting.start()
            starting.join(1)
            assert starting.is_alive()
        finally:
            os.kill(frozen, signal.SIGCONT)
        starting.join(60)
        session.close()
    assert server.execute("SELECT 1") == [(1,)]


def test_ports_are_handed_out_once_whoever_asks(postgres: Postgres) -> None:
    """Also while nobody listens there: servers are stopped and started again."""
    code = "from tests.services.ports import free_ports; print(*free_ports(40)); input()"
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    ports = free_ports(40)
    for process in asking:
        assert process.stdout is not None
        ports += map(int, process.stdout.readline().split())
    for process in asking:
        process.communicate("\n")
    assert len(set(ports)) == 160
    assert postgres.port not in ports


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


async def new_topic(kafka: Kafka, name: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1)])
    await admin.close()
    return name


async def produce(kafka: Kafka, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=topic)
    await producer.start()
    async with producer.transaction():
        await producer.send_and_wait(topic, value)
    await producer.stop()


async def consume(kafka: Kafka, topic: str, count: int) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    async with asyncio.timeout(60):
        values = [(await consumer.getone()).value for _ in range(count)]
    await consumer.stop()
    return values
