"""Checks rows against the requested domain. Pure.

Tryton respects domains; the searcher of a function field, a custom module or a proxy may not. Only what
certainly doesn't fit is reported: fields of other models, and what isn't in the row, count as fitting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import InvalidOperation
from typing import Any

from bridge.connector.answer_check import AnswerMismatch, first_misplaced, may_equal

TIMESTAMP_TOLERANCE = timedelta(seconds=1)
"""Databases round timestamps, some to seconds."""
RowCheck = Callable[[Mapping[str, Any]], bool]
ExactKeys = tuple[tuple[str, ...], set[tuple[Any, ...]]]
"""Fields with their requested values."""
_EMPTY = (None, False, "")
"""Values that Tryton's conditions treat as equal in some fields."""


def names_in(domain: Sequence[Any]) -> list[str]:
    """The model's own fields that a domain names."""
    if _is_clause(domain):
        return [domain[0]] if domain[0].isidentifier() else []
    return [name for part in domain if isinstance(part, (list, tuple)) for name in names_in(part)]


def may_satisfy(row: Mapping[str, Any], domain: Sequence[Any]) -> bool:
    """False where the row certainly doesn't fit the domain."""
    return _check_of(domain)(row)


def _check_of(domain: Sequence[Any]) -> RowCheck:
    """The domain as a function of a row. A domain may name a thousand keys: what equals one of them
    exactly is found without comparing it with each.
    """
    if not domain:
        return lambda _: True
    if _is_clause(domain):
        name, operator, wanted = domain[:3]
        keys = _exact_keys([[domain]]) if operator == "in" else None
        return _unless_exact(keys, lambda row: _fits(row, name, operator, wanted))
    parts = [part for part in domain if isinstance(part, (list, tuple))]
    checks = [_check_of(part) for part in parts]
    if domain[0] == "OR":
        return _unless_exact(_exact_keys(parts), lambda row: any(check(row) for check in checks))
    return lambda row: all(check(row) for check in checks)


def _unless_exact(keys: ExactKeys | None, check: RowCheck) -> RowCheck:
    """True of rows with one of these keys, and what `check` says of others."""
    if keys is None:
        return check
    names, values = keys

    def either(row: Mapping[str, Any]) -> bool:
        try:
            if tuple(_plain(row[name]) for name in names) in values:
                return True
        except (KeyError, TypeError, InvalidOperation):  # not in the row, or can't be hashed
            pass
        return check(row)

    return either


def _exact_keys(parts: Sequence[Sequence[Any]]) -> ExactKeys | None:
    """The keys in the parts of an OR; None if they have another form, or name fields of other models.
    Only the last clause of a part has several values.
    """
    names: tuple[str, ...] = ()
    values: set[tuple[Any, ...]] = set()
    for part in parts:
        if not part or not all(isinstance(clause, (list, tuple)) for clause in part):
            return None
        if not all(_is_clause(clause) and clause[0].isidentifier() for clause in part):
            return None
        own = tuple(clause[0] for clause in part)
        *single, last = part
        if (names and own != names) or any(clause[1] != "=" for clause in single):
            return None
        if last[1] not in {"=", "in"}:
            return None
        names = own
        before = tuple(_plain(clause[2]) for clause in single)
        try:
            values.update(
                (*before, _plain(choice)) for choice in (last[2] if last[1] == "in" else [last[2]])
            )
        except (TypeError, InvalidOperation):
            return None
    return names, values


def _is_clause(domain: Sequence[Any]) -> bool:
    return len(domain) > 2 and isinstance(domain[0], str) and isinstance(domain[1], str)


def _fits(row: Mapping[str, Any], name: str, operator: str, wanted: Any) -> bool:
    if name not in row:
        return True
    value = row[name]
    if operator == "=":
        return _equal(value, wanted)
    if operator == "in":
        return any(_equal(value, choice) for choice in wanted)
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
    """Timestamps as Tryton has them: in UTC, without a zone."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def _compares(value: Any, operator: str, wanted: Any) -> bool:
    if isinstance(value, bool) or not (isinstance(value, int) and isinstance(wanted, int)):
        if not (isinstance(value, datetime) and isinstance(wanted, datetime)):
            return True
        slack = TIMESTAMP_TOLERANCE if operator in {">", ">="} else -TIMESTAMP_TOLERANCE
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
    """Raise AnswerMismatch where a row doesn't fit the domain, or (`ordered`) rows are not in the order of
    their ids.
    """
    fits = _check_of(domain)
    for row in rows:
        if not fits(row):
            names = ", ".join(dict.fromkeys(names_in(domain)))
            raise AnswerMismatch(
                f"{where}: model {model!r}: unrequested rows came: the ERP ignores the "
                f"condition on {names}. What came was not used; check the searcher of these fields, and "
                "any proxy before the ERP"
            )
    if ordered and first_misplaced([(row["id"],) for row in rows]) is not None:
        raise AnswerMismatch(
            f"{where}: model {model!r}: rows come in another order than that of their ids, by which they "
            "are asked for: rows would be left out"
        )
