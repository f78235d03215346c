"""What a query asks for beside its conditions: an order, a page, some fields. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple


class RowSelection(NamedTuple):
    """Which of the matching rows, in which order, and what of them; all by default.

    order: fields to sort by, a `-` before those of which the largest comes first. Rows without a value
    come first, descending last. Where all are equal, the key decides. Empty: any order.
    continue_after: only rows that come after this one in `order`: the last one of the page before, or
    a mapping of the fields of `order` and of the key.
    fields: the only fields that are needed, besides the key and those of `order`; reading another one
    raises Unavailable. None: all.
    """

    order: tuple[str, ...] = ()
    continue_after: Any = None
    fields: tuple[str, ...] | None = None


ALL_ROWS: Final = RowSelection()


def row_selection(
    order: str | Sequence[str] = (),
    continue_after: Any = None,
    fields: Sequence[str] | None = None,
) -> RowSelection:
    """As its fields; `order` may be a single name."""
    names = (order,) if isinstance(order, str) else tuple(order)
    return RowSelection(names, continue_after, None if fields is None else tuple(fields))
