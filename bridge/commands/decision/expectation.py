"""Checks a command's expected version under the row's lock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge.connector import Shape
from bridge.model.errors import Rejected
from bridge.model.event import row_version
from bridge.model.specs import CommandSpec
from bridge.ports.entity_mapping import EntityMapping


class Conflict(Rejected):
    """The row is no longer as the command expects it; `version` is the row's current one."""

    def __init__(self, message: str, version: str | None) -> None:
        super().__init__("conflict", message)
        self.version = version


def version_of(
    spec: CommandSpec, table: EntityMapping, shape: Shape | None, raw: Any
) -> str | None:
    """The version to compare with the expected one; None if there is no row. Raises RowError."""
    if shape is None or raw is None:
        return None
    return str(row_version(table.entity_of(shape), table.row(shape, raw), spec.guards))


def earlier_versions(
    spec: CommandSpec, table: EntityMapping, shape: Shape, raw: Any
) -> Iterator[str]:
    """The versions that the same row had under earlier shapes of its table: a reader of an earlier
    event expects one of them, although nothing that it read has changed.
    """
    row = table.row(shape, raw)
    for entity in table.earlier:
        if all(field.name in row for field in entity.fields):
            yield str(row_version(entity, row, spec.guards))


class ExpectGuard:
    """The guard of an effect. The Writer calls it with the current raw row while it holds the row's
    lock.
    """

    def __init__(self, spec: CommandSpec, table: EntityMapping, expect: str) -> None:
        self._spec = spec
        self._table = table
        self._expect = expect

    def __call__(self, shape: Shape | None, raw: Any) -> None:
        """Raises Conflict if the row has a different version, Rejected if it doesn't exist."""
        version = version_of(self._spec, self._table, shape, raw)
        if version is None:
            raise Rejected(
                "not_found",
                f"{self._spec.qualified}: {self._table.entity.qualified} has no such row, or no "
                "longer",
            )
        if version == self._expect:
            return
        if shape is None or self._expect not in earlier_versions(
            self._spec, self._table, shape, raw
        ):
            # The version doesn't show which of them.
            guards = " or ".join(self._spec.guards)
            over = f" in {guards}" if guards else ""
            raise Conflict(
                f"{self._spec.qualified}: the row has changed{over} since the version that the "
                "command expects",
                version,
            )
