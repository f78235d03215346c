"""Triggers of a table on which other statements may run between a BEFORE and its AFTER trigger. Pure."""

from __future__ import annotations

from bridge.connector import CREATE, DELETE, UPDATE
from connectors.journal.dialects.sqlite.trigger_text import TriggerText, join

MAX_ROWS_ASIDE = 16
"""Rows of a table that nests: so many are remembered while statements on it nest."""


class NestingTriggers(TriggerText):
    """What is aside is kept equal to the table."""

    def bodies(self) -> tuple[str, ...]:
        """The bodies, in the order of `TRIGGER_EVENTS`."""
        aside = self._names.aside
        trim = (
            f"DELETE FROM {aside} WHERE layout IN ({self._layout.id}, {-self._layout.id}) "
            f"AND rowid <= (SELECT max(rowid) FROM {aside}) - {MAX_ROWS_ASIDE};"
        )
        is_aside = f"EXISTS (SELECT 1 FROM {aside} a WHERE a.{self._mine} AND {self._same('t')})"
        fresh = f"({self._may_collide()}) AND NOT {is_aside}"
        not_itself = self._same("t", "OLD", "IS NOT")
        return (
            f"{trim} {self._put_aside(fresh)}",
            " ".join(self._after_insert()),
            f"{trim} {self._put_aside(f'{fresh} AND ({not_itself})')}",
            " ".join(self._after_update()),
            " ".join(self._after_delete()),
        )

    def _after_insert(self) -> tuple[str, ...]:
        aside = self._names.aside
        pushed_out = f"NOT ({self._same('NEW')}) AND {self._gone()}"
        return (
            self._deleted(pushed_out),
            self._inserted_from(self._current, self._row_now),
            self._mark(pushed_out),
            self._forget(f"({self._same('NEW', aside)}) OR {self._gone(aside)}"),
            self._unmark("NEW"),
            f"{self._remember()};",
        )

    def _after_update(self) -> tuple[str, ...]:
        aside = self._names.aside
        is_new, was_old = self._same("NEW"), self._same("OLD")
        moved = self._same("NEW", "OLD", "IS NOT")
        pushed_out = f"NOT ({was_old}) AND NOT ({is_new}) AND {self._gone()}"
        taken_over = f"NOT ({was_old}) AND ({is_new}) AND ({moved})"
        others_gone = self._forget(
            f"NOT ({self._same('OLD', aside)}) AND "
            f"(({self._same('NEW', aside)}) OR {self._gone(aside)})"
        )
        values = zip(self._row_slots, self._columns, strict=True)
        refresh = (
            f"UPDATE {aside} SET {join([f'{slot} = NEW.{name}' for slot, name in values])} "
            f"WHERE {self._mine} AND {self._same('OLD', aside)};"
        )
        is_aside = f"EXISTS (SELECT 1 FROM {aside} a WHERE a.{self._mine} AND {is_new})"
        return (
            self._deleted(f"({pushed_out}) OR ({taken_over})"),
            self._updated_or_created(),
            self._mark(pushed_out),
            others_gone,
            refresh,
            self._unmark("OLD"),
            self._unmark("NEW"),
            f"{self._remember()} WHERE ({self.collidable()}) AND NOT {is_aside};",
        )

    def _after_delete(self) -> tuple[str, ...]:
        aside = self._names.aside
        others_gone = f"NOT ({self._same('OLD')}) AND {self._gone()}"
        return (
            self._deleted(others_gone),
            self._mark(others_gone),
            self._deleted_itself(),
            self._forget(f"({self._same('OLD', aside)}) OR {self._gone(aside)}"),
            self._unmark("OLD"),
        )

    def _remember(self) -> str:
        """Put the new row aside."""
        return (
            f"INSERT INTO {self._names.aside} (layout, {join(self._row_slots)}) "
            f"SELECT {self._layout.id}, {join([f'NEW.{name}' for name in self._columns])}"
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
            f"INSERT INTO {self._names.aside} (layout, {join(slots)}) SELECT {-self._layout.id}, "
            f"{join([f'a.{slot}' for slot in slots])} FROM {self._names.aside} a "
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
