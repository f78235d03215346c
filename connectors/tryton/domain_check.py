"""Rows of the ERP against the domain that they were asked for by. Pure.

Tryton heeds domains; the searcher of a function field, a module of one's own or a proxy may not. Only
what certainly doesn't fit is told: fields of other models, and what isn't in the row, count as fitting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.connector.answer_check import AnswerMismatch, first_misplaced, may_equal

TOLERANCE = timedelta(seconds=1)
"""Databases round moments, some to seconds."""
_EMPTY = (None, False, "")
"""What Tryton's conditions take for one another in some fields."""


def names_in(domain: Sequence[Any]) -> list[str]:
    """The model's own fields that a domain names."""
    if _is_clause(domain):
        return [domain[0]] if domain[0].isidentifier() else []
    return [name for part in domain if isinstance(part, (list, tuple)) for name in names_in(part)]


def may_satisfy(row: Mapping[str, Any], domain: Sequence[Any]) -> bool:
    """False where the row certainly doesn't fit the domain."""
    if not domain:
        return True
    if _is_clause(domain):
        return _fits(row, *domain[:3])
    parts = [part for part in domain if isinstance(part, (list, tuple))]
    if domain[0] == "OR":
        return any(may_satisfy(row, part) for part in parts)
    return all(may_satisfy(row, part) for part in parts)


def _is_clause(domain: Sequence[Any]) -> bool:
    return len(domain) > 2 and isinstance(domain[0], str) and isinstance(domain[1], str)


def _fits(row: Mapping[str, Any], name: str, operator: str, wanted: Any) -> bool:
    if name not in row:
        return True
    value = row[name]
    if operator == "=":
        return _equal(value, wanted)
    if operator == "in":
        return any(_equal(value, one) for one in wanted)
    if operator == "!=":
        return wanted is not None or value is not None
    if value is None:
        return operator not in {"<", "<=", ">", ">="}
    return _compares(_plain(value), operator, _plain(wanted))


def _equal(value: Any, wanted: Any) -> bool:
    if value in _EMPTY and wanted in _EMPTY:
        return True
    return may_equal(_plain(value), _plain(wanted))


def _plain(value: Any) -> Any:
    """Moments as Tryton has them: in UTC, without a zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _compares(value: Any, operator: str, wanted: Any) -> bool:
    if isinstance(value, bool) or not (isinstance(value, int) and isinstance(wanted, int)):
        if not (isinstance(value, datetime) and isinstance(wanted, datetime)):
            return True
        slack = TOLERANCE if operator in {">", ">="} else -TOLERANCE
        return _compares_exactly(value + slack, operator, wanted)
    return _compares_exactly(value, operator, wanted)


def _compares_exactly(value: Any, operator: str, wanted: Any) -> bool:
    holds = {
        ">": value > wanted,
        ">=": value >= wanted,
        "<": value < wanted,
        "<=": value <= wanted,
    }
    return bool(holds.get(operator, True))


def check_rows(
    model: str,
    rows: Sequence[Mapping[str, Any]],
    domain: Sequence[Any],
    *,
    ordered: bool,
    where: str,
) -> None:
    """Rows against the domain, and (`ordered`) against the order of ids. Raises AnswerMismatch."""
    for row in rows:
        if not may_satisfy(row, domain):
            names = ", ".join(dict.fromkeys(names_in(domain)))
            raise AnswerMismatch(
                f"{where}: model {model!r}: rows came that were not asked for: the ERP doesn't heed the "
                f"condition on {names}. What came was not used; look at the searcher of these fields, and "
                "at whatever stands before the ERP"
            )
    if ordered and first_misplaced([(row["id"],) for row in rows]) is not None:
        raise AnswerMismatch(
            f"{where}: model {model!r}: rows come in another order than that of their ids, by which they "
            "are asked for: rows would be left out"
        )
