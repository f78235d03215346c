"""How many deletes a comparison may derive before a person has to approve."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

ENTITY_MIN_ROWS = 100
"""A share of an entity with fewer rows is meaningless: two rows of three may well be gone."""
DEFAULT_SHARE = Fraction(1, 3)
PATTERN = r"^(0|[1-9]\d{0,11}|(100|[1-9]?\d)%)$"


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """At most `rows`, or (None) at most `share` of an entity that has at least `ENTITY_MIN_ROWS`."""

    rows: int | None = None
    share: Fraction = DEFAULT_SHARE

    def exceeded(self, deletes: int, rows: int) -> bool:
        """Whether `deletes` of an entity of `rows` rows exceed the limit."""
        if self.rows is not None:
            return deletes > self.rows
        return rows >= ENTITY_MIN_ROWS and deletes > rows * self.share

    def __str__(self) -> str:
        if self.rows is not None:
            return str(self.rows)
        return "a third" if self.share == DEFAULT_SHARE else f"{self.share * 100}%"


DEFAULT_LIMIT = DeleteLimit()


def parse_delete_limit(text: str) -> DeleteLimit:
    """`500` rows, or `25%` of the entity; empty: the default. Raises ValueError."""
    if not text:
        return DEFAULT_LIMIT
    if not re.fullmatch(PATTERN, text, re.ASCII):
        raise ValueError(f"{text!r} is neither a number of rows, such as 500, nor a share: 25%")
    if text.endswith("%"):
        return DeleteLimit(share=Fraction(int(text[:-1]), 100))
    return DeleteLimit(int(text))
