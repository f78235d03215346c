"""Rows that hold anything: each becomes an entry or a failure, and ends nothing but itself."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.connector import CREATE, DELETE, UPDATE, Change, SourceTransaction
from bridge.model.errors import RowError
from bridge.plan.failed_row import raw_text, row_error
from bridge.plan.steps import Wire
from tests.hostile_values import VALUES, TextlessError, quick
from tests.plan.plans import CAPTURED, plan_of, shape

KINDS = (
    *("boolean", "integer", "float", "double", "decimal(9,2)", "string", "json", "bytes", "date"),
    *("time", "timestamp", "local_timestamp", "uuid", "array(integer)", "array(array(bytes))"),
)
HERE = SourceTransaction("77", 0x10, 1_600_000_000_000_000)
anyhow = settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("key", [False, True], ids=["field", "key"])
def test_any_value_of_any_declared_type_is_an_entry_or_a_failure(
    form: ModuleType, key: bool
) -> None:
    source_shape = shape(
        [
            ("id", "python", "string" if key else "integer"),
            *((f"f{at}", "python", kind) for at, kind in enumerate(KINDS)),
        ],
        Wire.PYTHON,
    )
    _, plan = plan_of(source_shape)
    executor = form.RowEncoder(plan, "acme", 1, 2, 5)

    @anyhow
    @given(st.integers(0, len(KINDS) - 1), VALUES, st.sampled_from([CREATE, UPDATE, DELETE]))
    def holds(at: int, value: Any, op: int) -> None:
        good = [1, *(None for _ in KINDS)]
        bad = [value, *good[1:]] if key else [*good[: at + 1], value, *good[at + 2 :]]
        out: list[Any] = []
        rows = {CREATE: (None, bad), UPDATE: (good, bad), DELETE: (bad, None)}[op]
        old, new = (None if row is None else tuple(row) for row in rows)
        change = Change(source_shape, op, old, True, new, 3, HERE)
        failures = executor.changes([change], 1, CAPTURED, out)
        assert len(failures) == 1 or out
        for failure in failures:
            assert str(failure.error).encode()
            json.loads(raw_text(plan, failure.change, 10_000))
        executor.rows([tuple(bad)], 1, 1, 1, CAPTURED, out)

    holds()


def test_a_defect_is_told_by_its_class_alone() -> None:
    """Its text may hold what is masked."""
    error = row_error(ValueError("4111 1111 1111 1111"))
    assert isinstance(error, RowError)
    assert "4111" not in str(error)
    assert "ValueError" in str(error)
    assert "TextlessError" in str(row_error(TextlessError()))
    same = RowError("no")
    assert row_error(same) is same
