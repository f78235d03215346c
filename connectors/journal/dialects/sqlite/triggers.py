"""The triggers of one table on SQLite, as text: pure.

SQLite deletes the rows that `INSERT OR REPLACE` and `UPDATE OR REPLACE` push out without firing
delete triggers (unless `recursive_triggers` is on in that connection), so nobody would hear of
them. Therefore a BEFORE trigger puts aside the rows that the new one may collide with, and the AFTER
trigger, which runs only when the new row really went in, journals those that are gone by then: as a
delete, or as the old half of an update where the key is the same. What a delete trigger journaled
is taken out of what was put aside. An ignored insert or an upsert fires no AFTER INSERT, so what
was put aside for it is left over.

Where nothing else runs between the two (`TableRules.nests` false) everything that was put aside is
of this row, and the next BEFORE trigger drops what is left over. Otherwise triggers of the legacy
program's and actions of foreign keys may run statements on the same table in between, and even take
away the row itself, so that no AFTER trigger fires for it. Then what is aside is kept equal to the
table, rows that go in meanwhile are put aside too, and whichever trigger comes next journals those
that are gone. Their keys are marked (under the layout's negative number) until a row has them again,
so that a delete trigger that fires after all says nothing twice. The newest `KEPT_ASIDE` are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.connector import CREATE, DELETE, UPDATE
from connectors.journal.dialects.sqlite.unique_columns import TableRules, UniqueGroup
from connectors.journal.layout import Layout

NOW = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"
"""Microseconds since 1970 UTC, in SQLite's milliseconds."""
KEPT_ASIDE = 16
"""Rows of a table that nests: so many are remembered while statements on it nest."""
EVENTS = ("BEFORE INSERT", "AFTER INSERT", "BEFORE UPDATE", "AFTER UPDATE", "AFTER DELETE")


@dataclass(frozen=True, slots=True)
class JournalTables:
    """The journal's tables."""

    journal: str = "bridge_journal"
    aside: str = "bridge_journal_aside"
    command: str = "bridge_command"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger and the statement that makes it."""

    name: str
    sql: str


def trigger_name(event: str, table: str) -> str:
    """Unlike those of earlier versions, no two tables have triggers of the same name."""
    return f"bridge_journal_{event.lower().replace(' ', '_')}_{table}"


def make_triggers(
    names: JournalTables, layout: Layout, rules: TableRules, quote: Callable[[str], str]
) -> list[Trigger]:
    """The triggers that journal one table."""
    text = _Text(names, layout, rules, quote)
    bodies = text.nesting() if rules.nests else text.flat()
    # Only a change of unique columns can push a row out.
    conditions = dict.fromkeys(EVENTS, "") | {"BEFORE UPDATE": f"WHEN {text.collidable()} "}
    table = quote(layout.table)
    return [
        Trigger(
            trigger_name(event, layout.table),
            f"CREATE TRIGGER {quote(trigger_name(event, layout.table))} {event} ON {table} "
            f"FOR EACH ROW {conditions[event]}BEGIN {body} END",
        )
        for event, body in zip(EVENTS, bodies, strict=True)
    ]


class _Text:
    """The parts of which the bodies consist. `t` is a row of the table, `a` one that was put aside."""

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
            f"{left}.{self._quote(name)} {word} {self._slot(right, name)}{_collate(collation)}"
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
                f"t.{self._quote(name)} = {coming(name)}{_collate(collation)}"
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
            f"INSERT INTO {self._names.journal} (layout, op, made_at, command, {_join(slots)}) "
            f"SELECT {self._layout.id}, {op}, {NOW}, (SELECT id FROM {self._names.command}), "
            f"{_join(values)}{rest};"
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
            f"INSERT INTO {self._names.aside} (layout, {_join(self._row_slots)}) "
            f"SELECT {self._layout.id}, {_join([f't.{name}' for name in self._columns])} "
            f"FROM {self._table} t WHERE {which};"
        )

    def _forget(self, which: str = "") -> str:
        condition = f" AND ({which})" if which else ""
        return f"DELETE FROM {self._names.aside} WHERE {self._mine}{condition};"

    def _after_delete(self) -> str:
        row = self._journal(DELETE, self._row_slots, self._old, "")
        return f"{row} {self._forget(self._same('OLD', self._names.aside))}"

    # -- bodies, in the order of EVENTS ----------------------------------------------------------

    def flat(self) -> tuple[str, ...]:
        """Where nothing on the table happens between a BEFORE and its AFTER trigger."""
        forget = self._forget()
        may_collide = f"({self._may_collide()})"
        not_itself = self._same("t", "OLD", "IS NOT")
        lost = f"NOT ({self._same('NEW')}) AND {self._gone()}"
        taken_over = f"({self._same('NEW')}) AND ({self._same('NEW', 'OLD', 'IS NOT')})"
        pushed = taken_over if self._key_only else f"({lost}) OR ({taken_over})"
        after_insert = "" if self._key_only else f"{self._deleted(lost)} "
        return (
            f"{forget} {self._put_aside(may_collide)}",
            f"{after_insert}{self._inserted()} {forget}",
            f"{forget} {self._put_aside(f'{may_collide} AND ({not_itself})')}",
            f"{self._deleted(pushed)} {self._updated()} {forget}",
            self._after_delete(),
        )

    def nesting(self) -> tuple[str, ...]:
        """Where other statements on the table may run in between."""
        aside, keep = self._names.aside, -self._layout.id
        both = f"layout IN ({self._layout.id}, {keep})"
        trim = (
            f"DELETE FROM {aside} WHERE {both} "
            f"AND rowid <= (SELECT max(rowid) FROM {aside}) - {KEPT_ASIDE};"
        )
        known = f"EXISTS (SELECT 1 FROM {aside} a WHERE a.{self._mine} AND {self._same('t')})"
        fresh = f"({self._may_collide()}) AND NOT {known}"
        not_itself = self._same("t", "OLD", "IS NOT")
        is_new, was_old, gone = self._same("NEW"), self._same("OLD"), self._gone()
        moved = self._same("NEW", "OLD", "IS NOT")
        remember = (
            f"INSERT INTO {aside} (layout, {_join(self._row_slots)}) "
            f"SELECT {self._layout.id}, {_join([f'NEW.{name}' for name in self._columns])}"
        )
        remembered = f"EXISTS (SELECT 1 FROM {aside} a WHERE a.{self._mine} AND {is_new})"
        values = zip(self._row_slots, self._columns, strict=True)
        refresh = (
            f"UPDATE {aside} SET {_join([f'{slot} = NEW.{name}' for slot, name in values])} "
            f"WHERE {self._mine} AND {self._same('OLD', aside)};"
        )
        inserted = f"NOT ({is_new}) AND {gone}"
        updated = f"NOT ({was_old}) AND {inserted}"
        taken_over = f"NOT ({was_old}) AND ({is_new}) AND ({moved})"
        away = self._forget(f"({self._same('NEW', aside)}) OR {self._gone(aside)}")
        others_away = self._forget(
            f"NOT ({self._same('OLD', aside)}) AND "
            f"(({self._same('NEW', aside)}) OR {self._gone(aside)})"
        )
        deleted = f"NOT ({was_old}) AND {gone}"
        after_insert = (
            self._deleted(inserted),
            self._inserted_from(self._current, self._row_now),
            self._mark(inserted),
            away,
            self._unmark("NEW"),
            f"{remember};",
        )
        after_update = (
            self._deleted(f"({updated}) OR ({taken_over})"),
            self._updated_or_created(),
            self._mark(updated),
            others_away,
            refresh,
            self._unmark("OLD"),
            self._unmark("NEW"),
            f"{remember} WHERE ({self.collidable()}) AND NOT {remembered};",
        )
        after_delete = (
            self._deleted(deleted),
            self._mark(deleted),
            self._deleted_itself(),
            self._forget(f"({self._same('OLD', aside)}) OR {self._gone(aside)}"),
            self._unmark("OLD"),
        )
        return (
            f"{trim} {self._put_aside(fresh)}",
            " ".join(after_insert),
            f"{trim} {self._put_aside(f'{fresh} AND ({not_itself})')}",
            " ".join(after_update),
            " ".join(after_delete),
        )

    @property
    def _current(self) -> list[str]:
        return [f"now.{name}" for name in self._columns]

    @property
    def _row_now(self) -> str:
        """The row that went in: a foreign key's action may have changed it since."""
        return f"(SELECT t.* FROM {self._table} t WHERE {self._same('t', 'NEW')}) AS now"

    def _mark(self, which: str) -> str:
        """Remember keys that were journaled as deleted before their own trigger fires."""
        slots = [f"v{self._at[name]}" for name, _ in self._key.columns]
        return (
            f"INSERT INTO {self._names.aside} (layout, {_join(slots)}) SELECT {-self._layout.id}, "
            f"{_join([f'a.{slot}' for slot in slots])} FROM {self._names.aside} a "
            f"WHERE a.{self._mine} AND ({which});"
        )

    def _marked(self, row: str) -> str:
        return (
            f"EXISTS (SELECT 1 FROM {self._names.aside} a WHERE a.layout = {-self._layout.id} "
            f"AND {self._same(row)})"
        )

    def _unmark(self, row: str) -> str:
        aside = self._names.aside
        return (
            f"DELETE FROM {aside} WHERE layout = {-self._layout.id} AND {self._same(row, aside)};"
        )

    def _updated_or_created(self) -> str:
        """A row whose old key was journaled as deleted already is new under its new one."""
        op = f"CASE WHEN {self._marked('OLD')} THEN {CREATE} ELSE {UPDATE} END"
        rest = f" FROM {self._row_now}"
        return self._journal(op, self._slots, [*self._old, *self._current], rest)

    def _deleted_itself(self) -> str:
        rest = f" WHERE NOT {self._marked('OLD')}"
        return self._journal(DELETE, self._row_slots, self._old, rest)


def _join(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def _collate(collation: str) -> str:
    return f' COLLATE "{collation}"' if collation else ""
