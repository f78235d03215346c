"""Plans as data: for each target field, from which column, through which steps, to which type.

A plan is made once per entity, source shape and target schema; it can be printed and compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.model.types import Entity, FieldType


class Wire(StrEnum):
    """How the raw rows of a Shape are framed.

    pgoutput: the bytes of a pgoutput TupleData (Int16 column count; a column is `n`, `u`, or
    `t`/`b` with Int32 length and bytes), `bytes` or a `memoryview`.
    pgcopy: one row of COPY BINARY (Int16 column count; Int32 length, -1 for null, and bytes).
    python: a tuple of Python objects, one a column; `MISSING` for what was not sent.
    """

    PGOUTPUT = "pgoutput"
    PGCOPY = "pgcopy"
    PYTHON = "python"


class _Missing:
    """The one value that stands for a column that the source did not send."""

    _only: _Missing | None = None

    def __new__(cls) -> _Missing:  # noqa: PYI034 - there is one class and one value
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING = _Missing()


@dataclass(frozen=True, slots=True)
class Transform:
    """One step between a decoded column and its field: a name and its arguments."""

    name: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanStep:
    """How one target field is made.

    `columns` are indexes into the raw row (empty: the column is gone, the field is null);
    `wires` the wire codes of those columns and `sources` their types by the catalogue; `key`
    whether the field is part of the entity's key.
    """

    field: str
    columns: tuple[int, ...]
    names: tuple[str, ...]
    wires: tuple[str, ...]
    transforms: tuple[Transform, ...]
    target: FieldType
    key: bool = False
    sources: tuple[FieldType, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that turns raw rows of one shape into records of one entity.

    `masked` are indexes of columns that must not leave in the clear, not even to dead letters.
    """

    entity: Entity
    wire: Wire
    columns: tuple[str, ...]
    steps: tuple[PlanStep, ...]
    masked: frozenset[int] = frozenset()

    def lines(self) -> list[str]:
        """The plan for people: one line a field."""
        lines = []
        for step in self.steps:
            source = " + ".join(
                f"{name}:{wire}" for name, wire in zip(step.names, step.wires, strict=True)
            )
            through = "".join(
                f" | {part.name}" + (f"({', '.join(map(repr, part.args))})" if part.args else "")
                for part in step.transforms
            )
            mark = "*" if step.key else " "
            lines.append(f"{mark} {step.field} <- {source or 'nothing'}{through} -> {step.target}")
        return lines
