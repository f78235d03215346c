"""Bounded numeric options: values that a log, a clock or a database can't hold are refused."""

from __future__ import annotations

import math
from typing import Any

import click

MAX_OFFSET = 2**63 - 1
MAX_PARTITION = 2**31 - 1
MAX_SECONDS = 31_536_000.0
"""A year: the longest wait of a command."""


class FiniteRange(click.FloatRange):
    """click's range of numbers, without `nan`, which every range accepts."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


OFFSET = click.IntRange(0, MAX_OFFSET)
PARTITION = click.IntRange(0, MAX_PARTITION)
COUNT = click.IntRange(1, MAX_OFFSET)
COUNT_OR_ALL = click.IntRange(0, MAX_OFFSET)
SECONDS = FiniteRange(0, MAX_SECONDS)
PER_SECOND = FiniteRange(0, 1e9)
