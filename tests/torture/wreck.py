"""Harm to the servers around capture, by the process ids and sessions that the test knows."""

from __future__ import annotations

import time

from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.torture.kill import Harm


def harms_of(server: Postgres | None, kafka: Kafka | None) -> list[Harm]:
    """What can be done to these servers. A harm listed twice comes twice as often."""
    harms: list[Harm] = []
    if server is not None:
        end, crash = _end_walsenders(server), _crash(server)
        harms += [end, end, end, crash]
    if kafka is not None:
        harms += [_kill(kafka)] * 2
    return harms


def _end_walsenders(server: Postgres) -> Harm:
    def harm() -> None:
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_replication")

    return harm


def _crash(server: Postgres) -> Harm:
    def harm() -> None:
        server.restart("immediate")

    return harm


def _kill(kafka: Kafka) -> Harm:
    def harm() -> None:
        kafka.kill()
        time.sleep(0.3)
        kafka.start()

    return harm
