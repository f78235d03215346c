"""Triggers of a table on which nothing else happens between a BEFORE and its AFTER trigger. Pure."""

from __future__ import annotations

from bridge.connector import DELETE
from connectors.journal.dialects.sqlite.trigger_text import TriggerText


class FlatTriggers(TriggerText):
    """Everything that was put aside is of the row at hand."""

    def bodies(self) -> tuple[str, ...]:
        """The bodies, in the order of `TRIGGER_EVENTS`."""
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

    def _after_delete(self) -> str:
        row = self._journal(DELETE, self._row_slots, self._old, "")
        return f"{row} {self._forget(self._same('OLD', self._names.aside))}"
