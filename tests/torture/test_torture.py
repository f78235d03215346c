"""A seeded part of what `make torture` does at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.capture.contract import CRASH_POINTS
from tests.conftest import PrivateKafka, PrivatePostgres
from tests.torture.crash_target import ObservedBroker, ObservedFile, PostgresTarget, SqliteTarget
from tests.torture.kill import OFTEN, at_first, at_step, filled, settle, torture
from tests.torture.wreck import harms_of

pytestmark = pytest.mark.usefixtures("processes")


def embedded(folder: Path) -> SqliteTarget:
    return SqliteTarget(folder, ObservedFile(folder), "acme")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> SqliteTarget:
    """To be copied: capture was here, and has told of thousands of rows."""
    target = embedded(tmp_path_factory.mktemp("begun"))
    filled(target)
    settle(target)
    return target


@pytest.mark.parametrize("step", CRASH_POINTS)
def test_a_kill_at_each_step_loses_and_repeats_nothing(
    tmp_path: Path, begun: SqliteTarget, step: str
) -> None:
    target = embedded(tmp_path) if at_first(step) else begun.copied(tmp_path / "copy")
    assert at_step(target, step, 2 if step in OFTEN else 1, seed=11, pause=0.01) > 0


def test_a_process_with_nothing_left_to_do_ends_in_order_though_it_is_still_starting(
    tmp_path: Path, begun: SqliteTarget
) -> None:
    assert settle(begun.copied(tmp_path / "copy")) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    assert torture(embedded(tmp_path), kills=8, seed=20_26, harms=[], pause=0.002) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_of_every_part_lose_and_repeat_nothing(
    tmp_path: Path, private_postgres: PrivatePostgres, private_kafka: PrivateKafka
) -> None:
    """Kills of the bridge and of the broker, ended walsenders and crashes of PostgreSQL."""
    server, kafka = private_postgres(), private_kafka()
    url = server.new_database()
    target = PostgresTarget(tmp_path, ObservedBroker(kafka), "acme", server, url)
    assert torture(target, kills=12, seed=3, harms=harms_of(server, kafka), pause=0.002) > 0
