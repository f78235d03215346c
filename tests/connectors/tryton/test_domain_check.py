"""Rows against a domain that names many keys: each is found without comparing it with all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.connector.answer_check import AnswerMismatch, may_equal
from connectors.tryton.protocol import domain_check
from connectors.tryton.protocol.domain_check import check_rows, may_satisfy

KEYS = 300


@pytest.mark.parametrize("columns", [("code",), ("code", "line")])
@pytest.mark.parametrize("paged", [False, True])
def test_rows_that_are_exactly_what_was_asked_for_are_not_compared_with_each_key(
    columns: tuple[str, ...], *, paged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def counting(value: Any, wanted: Any) -> bool:
        nonlocal compared
        compared += 1
        return may_equal(value, wanted)

    monkeypatch.setattr(domain_check, "may_equal", counting)
    rows = [{"id": n, "code": f"SO{n}", "line": n % 7} for n in range(1, KEYS)]
    domain: list[Any] = [["code", "in", [row["code"] for row in rows]]]
    if len(columns) == 2:
        domain = [
            "OR",
            *([["code", "=", row["code"]], ["line", "in", [row["line"], 9]]] for row in rows),
        ]
    if paged:
        domain = [domain, ["id", ">", 0]]
    check_rows("sale", rows, domain, ordered=True, where="system 'erp'")
    assert compared == 0
    with pytest.raises(AnswerMismatch):
        check_rows("sale", [{"id": 1, "code": "x", "line": 1}], domain, ordered=True, where="")


@pytest.mark.parametrize(
    ("domain", "row", "holds"),
    [
        ([["code", "in", ["SO1"]]], {"code": "so1"}, True),
        ([["code", "in", ["SO1"]]], {"code": ["SO1"]}, True),
        ([["code", "in", []]], {"code": "SO1"}, False),
        ([["code", "in", [None]]], {"code": ""}, True),
        ([["at", "in", [datetime(2026, 1, 2, tzinfo=UTC)]]], {"at": datetime(2026, 1, 2)}, True),  # noqa: DTZ001
        (["OR", [["a", "=", 1], ["b", "=", 2]], [["a", "=", 2], ["b", "=", 1]]], {"a": 1, "b": 1}, False),
        (["OR", [["a", "=", 1], ["b", "=", 2]], [["b", "=", 1]]], {"a": 1, "b": 1}, True),
        (["OR", [["a", "=", 1]], [["lines.x", "=", 1]]], {"a": 2}, True),
        (["OR", ["a", "=", 1], ["a", "=", 2]], {"a": 2}, True),
        (["OR", ["a", "=", 1], ["a", "=", 2]], {"a": 3}, False),
    ],
)  # fmt: skip
def test_what_is_not_exactly_a_key_is_judged_as_before(
    domain: list[Any], row: dict[str, Any], *, holds: bool
) -> None:
    assert may_satisfy(row, domain) == holds
