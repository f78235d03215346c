"""The rows of one answer of a Reader, raw and by the plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bridge.connector import Shape


class SourceRows(NamedTuple):
    """The rows of one answer.

    shape: the columns of `raw`.
    raw: as the Reader gave them; aligned with `rows`.
    rows: as the plan makes them.
    """

    shape: Shape
    raw: Sequence[Any]
    rows: Sequence[Any]
