"""An entity set as a table of the port: its columns, its rows from JSON, and how URLs name them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.connector import Column, Shape, System, TableUse
from bridge.model.errors import ConfigurationError, Rejected
from bridge.plan.steps import Wire
from connectors.odata.answer import segment
from connectors.odata.edm import field_type, value
from connectors.odata.literal import literal
from connectors.odata.model import EntitySet, Property, Service, Version


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """An entity set with the properties that are used: the key first, then as declared."""

    set: EntitySet
    version: Version
    properties: tuple[Property, ...]
    shape: Shape

    @property
    def name(self) -> str:
        """The entity set's."""
        return self.set.name

    @property
    def select(self) -> str:
        """The value of `$select`: what is used, and nothing else."""
        return ",".join(dict.fromkeys(one.path[0] for one in self.properties))

    def raw(self, row: Mapping[str, Any], absent: Any = None) -> tuple[Any, ...]:
        """A raw row of `shape`; `absent` stands for what the JSON doesn't hold."""
        return tuple(
            value(one, self.version, _at(row, one.path, absent)) for one in self.properties
        )

    def path(self, key: Mapping[str, Any]) -> str:
        """The URL's path of one row. Raises Rejected (`bad_key`)."""
        lacking = [name for name in self.set.key if key.get(name) is None]
        if lacking:
            raise Rejected("bad_key", f"{self.name}: the key lacks {', '.join(lacking)}")
        parts = [self._literal(name, key[name]) for name in self.set.key]
        if len(parts) > 1:
            parts = [f"{name}={part}" for name, part in zip(self.set.key, parts, strict=True)]
        return f"{self.name}({segment(','.join(parts))})"

    def literals(self, columns: Sequence[str], key: Sequence[Any]) -> tuple[str, ...]:
        """URL literals of values of these columns. Raises Rejected (`bad_key`)."""
        return tuple(self._literal(name, one) for name, one in zip(columns, key, strict=True))

    def askable(self, columns: Iterable[str]) -> None:
        """Raises Rejected (`bad_key`) for a column that no filter may name."""
        for name in columns:
            if name not in self.set.properties:
                raise Rejected("bad_key", f"entity set {self.name} has no property {name!r}")
            if not self.set.can_filter(name):
                raise Rejected(
                    "bad_key",
                    f"entity set {self.name} can't be asked for by {name!r}: the service's metadata "
                    "says that it may not be filtered by",
                )

    def _literal(self, name: str, one: Any) -> str:
        try:
            return literal(self.set.properties[name], self.version, one)
        except Rejected as error:
            raise Rejected(error.code, f"{self.name}: {error}") from None


def table_of(service: Service, use: TableUse, where: str = "") -> Table:
    """The table that the configuration names. Raises ConfigurationError for what is not there."""
    found = service.sets.get(use.table)
    begin = f"{where}: " if where else ""
    if found is None:
        near = difflib.get_close_matches(use.table, service.sets, 1)
        why = service.left_out.get(use.table)
        hint = f"left out, {why}" if why else f"did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"{begin}the service has no entity set {use.table!r}"
            f"{'; ' + hint if hint else f' (it has {_some(service.sets)})'}"
        )
    wanted = [*found.key, *use.key, *(use.columns or found.properties)]
    for name in wanted:
        if name not in found.properties:
            near = difflib.get_close_matches(name, found.properties, 1)
            why = service.left_out.get(f"{use.table}/{name}")
            hint = f"left out, {why}" if why else f"did you mean {near[0]}?" if near else ""
            raise ConfigurationError(
                f"{begin}entity set {use.table} has no property {name!r}"
                f"{'; ' + hint if hint else f' (it has {_some(found.properties)})'}"
            )
    properties = tuple(found.properties[name] for name in dict.fromkeys(wanted))
    key = use.key or found.key
    columns = [_column(one, service.version, key=one.name in key) for one in properties]
    return Table(
        found, service.version, properties, Shape(use.table, tuple(columns), Wire.PYTHON, "none")
    )


def _column(one: Property, version: Version, *, key: bool) -> Column:
    kind = field_type(one, version)
    if kind is None:
        message = f"property {one.name!r} is of type {one.edm}, which the log doesn't hold"
        raise ConfigurationError(message)
    size = f"({one.max_length})" if one.max_length else ""
    if one.precision and one.edm == "Edm.Decimal":
        size = f"({one.precision},{one.scale or 0})"
    return Column(one.name, f"{one.enum or one.edm}{size}", kind, "python", one.nullable, key)


def _at(row: Mapping[str, Any], path: Sequence[str], absent: Any) -> Any:
    found: Any = row
    for step in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(step, absent)
        if found is absent:
            return absent
    return found


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:12]) + (", ..." if len(listed) > 12 else "")


class Tables:
    """The tables of a system, made once each: shapes are compared by identity."""

    def __init__(self, system: System) -> None:
        self._where = f"system {system.name!r}"
        self._uses = {use.table: use for use in system.tables}
        self._made: dict[str, Table] = {}

    def of(self, service: Service, name: str) -> Table:
        """The table of that name; all of its columns where the configuration names none."""
        table = self._made.get(name)
        if table is None:
            use = self._uses.get(name) or TableUse(name)
            table = self._made[name] = table_of(service, use, self._where)
        return table
