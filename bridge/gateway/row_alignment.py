"""Which requested key a row belongs to, where only the database knows which values are equal.

A column may compare without case, accents or trailing blanks (`NOCASE`, citext, most collations of
MariaDB and SQL Server), so a row's own key may differ from the requested one. Values that any
database treats as equal are folded to the same text here; a row then belongs to the only key with
its folded form, and keys that share a folded form are requested in separate queries. Pure.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Values = tuple[Any, ...]
Row = TypeVar("Row")


def fold_key(key: Values) -> Values:
    """The key's folded form: the same for all equal keys, possibly also for some unequal ones."""
    return tuple(_folded(value) if isinstance(value, str) else value for value in key)


def _folded(text: str) -> str:
    if text.isascii() and text.isalnum():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = (character for character in plain if unicodedata.category(character)[0] in "LNS")
    return unicodedata.normalize("NFKD", "".join(letters).casefold())


def rows_by_raw_value(
    keys: Sequence[Values], raw_values: Sequence[Any], rows: Sequence[Row]
) -> list[Sequence[Row] | None] | None:
    """The rows of each key, aligned, None for each that has none; or None if that isn't quickly seen.
    `raw_values`: of the key's only column, one per row. All of them have to be requested as they are,
    and no two keys may be equal to any database.
    """
    values = _different_values(keys)
    if values is None:
        return None
    by_value: dict[Any, Sequence[Row]]
    try:
        by_value = dict(zip(raw_values, zip(rows), strict=True))
        if len(by_value) < len(rows):
            groups: dict[Any, list[Row]] = {}
            for value, row in zip(raw_values, rows, strict=True):
                groups.setdefault(value, []).append(row)
            by_value = dict(groups)
    except TypeError:  # A value that has no hash.
        return None
    aligned = list(map(by_value.get, values))
    are_all_requested = len(aligned) - aligned.count(None) == len(by_value)
    return aligned if are_all_requested else None


def align_rows(
    keys: Sequence[Values], rows: Sequence[Row], row_keys: Sequence[Values]
) -> tuple[dict[Values, list[Row]], list[list[Values]]]:
    """The rows of each key, and the keys to query again, as lists of one query each.
    `rows`: the result of a query for `keys`, which are distinct; `row_keys`: the key of each row.
    """
    if len(keys) == 1:
        return ({keys[0]: list(rows)} if rows else {}), []
    rows_by_key: dict[Values, list[Row]] = {}
    for row, key in zip(rows, row_keys, strict=True):
        if key in rows_by_key:
            rows_by_key[key].append(row)
        else:
            rows_by_key[key] = [row]
    others = {key: rows_by_key.pop(key) for key in rows_by_key.keys() - set(keys)}
    if not others and _different_values(keys) is not None:
        return rows_by_key, []
    if not _any_text(keys):
        return rows_by_key, []
    groups: dict[Values, list[Values]] = {}
    for key in keys:
        groups.setdefault(fold_key(key), []).append(key)
    for key, belonging in others.items():
        candidates = groups.get(fold_key(key), ())
        if not candidates:
            # How this database compares is unknown. A key that is queried alone has whatever comes;
            # halves lead there in few queries, since most of them have no such row.
            middle = len(keys) // 2
            return {}, [list(keys[:middle]), list(keys[middle:])]
        if len(candidates) == 1:
            rows_by_key.setdefault(candidates[0], []).extend(belonging)
    # Keys that the database may treat as equal: each one's rows may also be the other's.
    return rows_by_key, _rounds([group for group in groups.values() if len(group) > 1])


def _any_text(keys: Iterable[Values]) -> bool:
    return any(isinstance(value, str) for key in keys for value in key)


def _different_values(keys: Sequence[Values]) -> list[Any] | None:
    """The only value of each key, if it is quickly seen that no two have the same folded form: each
    is an integer, or each is a text of letters and digits of ASCII.
    """
    if set(map(len, keys)) != {1}:
        return None
    values = [value for (value,) in keys]
    types = set(map(type, values))
    if types == {int}:
        return values
    if types != {str}:
        return None
    texts = "".join(values)
    if not (texts.isascii() and texts.isalnum()):
        return None
    return values if len(set(map(str.lower, values))) == len(keys) else None


def _rounds(groups: Sequence[list[Values]]) -> list[list[Values]]:
    """Spread keys with the same folded form over different lists."""
    most = max(map(len, groups), default=0)
    return [[group[at] for group in groups if at < len(group)] for at in range(most)]
