"""What a database refuses for its load is told apart from a database that is away."""

from __future__ import annotations

import pytest

from bridge.model.errors import RetryLater, SystemBusy
from connectors.sql.postgres.errors import translate_sqlstate
from connectors.sql.sqlite.errors import translate_code


@pytest.mark.parametrize("state", ["55P03", "57014", "53300"])
def test_a_postgres_that_refuses_for_load_is_busy(state: str) -> None:
    assert type(translate_sqlstate(state, "erp", "bad_key")) is SystemBusy


@pytest.mark.parametrize("state", ["57P01", "08006", "40001"])
def test_a_postgres_that_is_away_or_rolled_back_is_not(state: str) -> None:
    assert type(translate_sqlstate(state, "erp", "bad_key")) is RetryLater


def test_a_locked_sqlite_file_is_busy_and_a_full_disk_is_not() -> None:
    assert [type(translate_code(code, "erp")) for code in (5, 6, 10, 13)] == [
        SystemBusy,
        SystemBusy,
        RetryLater,
        RetryLater,
    ]
