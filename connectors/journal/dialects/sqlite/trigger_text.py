"""The SQL of which the journal's triggers on SQLite consist. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.connector import CREATE, DELETE, UPDATE
from connectors.journal.dialects.sqlite.unique_columns import TableRules, UniqueGroup
from connectors.journal.layout import Layout

NOW = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
"""Microseconds since 1970 UTC, in SQLite's milliseconds."""


@dataclass(frozen=True, slots=True)
class JournalTables:
    """The journal's tables."""

    journal: str = "bridge_journal"
    aside: str = "bridge_journal_aside"
    command: str = "bridge_command"


class TriggerText:
    """Conditions and statements of which the bodies of one table's triggers consist. `t` is a row of the
    table, `a` one that was put aside.
    """

    def __init__(
        self, names: JournalTables, layout: Layout, rules: TableRules, quote: Callable[[str], str]
    ) -> None:
        self._names, self._layout, self._rules, self._quote = names, layout, rules, quote
        self._table = quote(layout.table)
        self._at = {name: at for at, name in enumerate(layout.names)}
        groups = [group for group in rules.groups if group.names <= self._at.keys()]
        key = next((group for group in groups if group.names == {*layout.key}), None)
        self._key = key or UniqueGroup(tuple((name, "") for name in layout.key))
        self._groups = groups if key else [self._key, *groups]
        width = len(layout.columns)
        self._slots = [f"v{at}" for at in range(2 * width)]
        self._row_slots = self._slots[:width]
        columns = [quote(name) for name in layout.names]
        self._columns = columns
        self._old = [f"OLD.{name}" for name in columns]
        self._new = [f"NEW.{name}" for name in columns]
        self._mine = f"layout = {layout.id}"

    # -- conditions ----------------------------------------------------------------------------

    def _same(self, left: str, right: str = "a", word: str = "IS") -> str:
        """Whether the keys of two rows are the same, by the collation that makes them unique. The
        column of the table stands on the left, because its affinity decides too.
        """
        glue = " AND " if word == "IS" else " OR "
        return glue.join(
            f"{left}.{self._quote(name)} {word} {self._slot(right, name)}{collate(collation)}"
            for name, collation in self._key.columns
        )

    def _slot(self, row: str, name: str) -> str:
        """A column of a row, which has slots when it was put aside."""
        if row in ("a", self._names.aside):
            return f"{row}.v{self._at[name]}"
        return f"{row}.{self._quote(name)}"

    def _gone(self, aside: str = "a") -> str:
        return f"NOT EXISTS (SELECT 1 FROM {self._table} t WHERE {self._same('t', aside)})"

    def _may_collide(self) -> str:
        """Whether a row of the table collides with the one that is about to go in. Null becomes
        the default under REPLACE, after this was asked.
        """

        def coming(name: str) -> str:
            column = f"NEW.{self._quote(name)}"
            default = self._rules.defaults.get(name)
            return column if default is None else f"COALESCE({column}, ({default}))"

        choices = [
            " AND ".join(
                f"t.{self._quote(name)} = {coming(name)}{collate(collation)}"
                for name, collation in group.columns
            )
            for group in self._groups
        ]
        if self._rules.rowid:
            choices.append(f"t.{self._rules.rowid} = NEW.{self._rules.rowid}")
        return " OR ".join(f"({choice})" for choice in choices)

    def collidable(self) -> str:
        """Whether an update changes what is unique."""
        unique = {name for group in self._groups for name in group.names}
        columns = [self._quote(name) for name in sorted(unique)]
        columns += [self._rules.rowid] if self._rules.rowid else []
        return " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in columns)

    @property
    def _key_only(self) -> bool:
        """Whether a new row collides with none but its namesake."""
        plain = all(collation in ("", "BINARY") for _, collation in self._key.columns)
        return plain and len(self._groups) == 1 and not self._rules.rowid

    # -- statements ----------------------------------------------------------------------------

    def _journal(
        self, op: int | str, slots: Sequence[str], values: Sequence[str], rest: str
    ) -> str:
        return (
            f"INSERT INTO {self._names.journal} (layout, op, made_at, command, {join(slots)}) "
            f"SELECT {self._layout.id}, {op}, {NOW}, (SELECT id FROM {self._names.command}), "
            f"{join(values)}{rest};"
        )

    def _deleted(self, which: str) -> str:
        """Journal rows that were put aside as deleted."""
        values = [f"a.{slot}" for slot in self._row_slots]
        rest = f" FROM {self._names.aside} a WHERE a.{self._mine} AND ({which})"
        return self._journal(DELETE, self._row_slots, values, rest)

    def _inserted(self) -> str:
        """A namesake that was put aside was replaced; otherwise the row is new."""
        return self._inserted_from(self._new, "(SELECT 1)")

    def _inserted_from(self, new: Sequence[str], source: str) -> str:
        op = f"CASE WHEN a.layout IS NULL THEN {CREATE} ELSE {UPDATE} END"
        values = [*(f"a.{slot}" for slot in self._row_slots), *new]
        rest = (
            f" FROM {source} LEFT JOIN {self._names.aside} a ON a.{self._mine} "
            f"AND {self._same('NEW')}"
        )
        return self._journal(op, self._slots, values, rest)

    def _updated(self) -> str:
        return self._journal(UPDATE, self._slots, [*self._old, *self._new], "")

    def _put_aside(self, which: str) -> str:
        return (
            f"INSERT INTO {self._names.aside} (layout, {join(self._row_slots)}) "
            f"SELECT {self._layout.id}, {join([f't.{name}' for name in self._columns])} "
            f"FROM {self._table} t WHERE {which};"
        )

    def _forget(self, which: str = "") -> str:
        condition = f" AND ({which})" if which else ""
        return f"DELETE FROM {self._names.aside} WHERE {self._mine}{condition};"


def join(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def collate(collation: str) -> str:
    return f' COLLATE "{collation}"' if collation else ""
