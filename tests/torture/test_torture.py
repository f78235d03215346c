"""A seeded part of what `make torture` does at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.capture.contract import STEPS
from tests.conftest import PrivateKafka, PrivatePostgres
from tests.torture.kill import OFTEN, at_step, torture
from tests.torture.place import Broker, EmbeddedFile, PostgresPlace, SqlitePlace
from tests.torture.wreck import harms_of


@pytest.mark.timeout(400)
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_each_step_loses_and_repeats_nothing(tmp_path: Path, step: str) -> None:
    place = SqlitePlace(tmp_path, EmbeddedFile(tmp_path), "acme")
    assert at_step(place, step, 2 if step in OFTEN else 1, seed=11, pause=0.002) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    place = SqlitePlace(tmp_path, EmbeddedFile(tmp_path), "acme")
    assert torture(place, kills=8, seed=20_26, harms=[], pause=0.002) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_of_every_part_lose_and_repeat_nothing(
    tmp_path: Path, private_postgres: PrivatePostgres, private_kafka: PrivateKafka
) -> None:
    """Kills of the bridge and of the broker, ended walsenders and crashes of PostgreSQL."""
    server, kafka = private_postgres(), private_kafka()
    url = server.new_database()
    place = PostgresPlace(tmp_path, Broker(kafka), "acme", server, url)
    assert torture(place, kills=12, seed=3, harms=harms_of(server, kafka), pause=0.002) > 0
