"""Which form of filter each lookup uses: tried once, and remembered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from connectors.odata.lookup.requests import LookupForm, form_fits, forms_of
from connectors.odata.protocol.entity_table import EntitySetTable

MAX_SINGLE_LOOKUPS = 50
"""Lookups with one read per key after which filters are tried again: perhaps they were refused because of
a key.
"""

RETRY_IGNORED_S = 900.0
"""Seconds after which a form that the service ignored is tried again: the service may have been
corrected.
"""

IGNORED_FORM_TEXT: Mapping[LookupForm, str] = {
    "in": "the service ignores `in`",
    "or": "the service ignores `$filter`",
    "single": "the service returns another row than the one with that key",
}

Lookup = tuple[str, tuple[str, ...]]
"""An entity set, and the columns of a lookup."""


class LookupForms:
    """The known forms that one service accepts."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._chosen: dict[Lookup, LookupForm] = {}
        self._single_lookups: Counter[Lookup] = Counter()
        #: Forms that were ignored, and when. `in` belongs to the framework: then no set of the system
        #: supports it.
        self._ignored: dict[tuple[Lookup, LookupForm], float] = {}
        self._in_ignored: float | None = None
        #: Forms that have found a row: that they find none means that there is none.
        self._proven: set[tuple[Lookup, LookupForm]] = set()

    def to_try(self, table: EntitySetTable, lookup: Lookup) -> Sequence[LookupForm]:
        """The known form, or all forms, the best first."""
        form = self._chosen.get(lookup)
        if form == "single":
            self._single_lookups[lookup] += 1
            if self._single_lookups[lookup] > MAX_SINGLE_LOOKUPS:
                self._single_lookups[lookup], form = 0, None
        if form is not None and not self._is_ignored(lookup, form):
            return [form]
        forms = [form for form in forms_of(table.version) if form_fits(form, table, lookup[1])]
        return [form for form in forms if not self._is_ignored(lookup, form)]

    def choose(self, lookup: Lookup, form: LookupForm) -> None:
        """The service accepts the form: it is tried first from now on."""
        self._chosen[lookup] = form

    def prove(self, lookup: Lookup, form: LookupForm) -> None:
        """The form has found a row."""
        self._proven.add((lookup, form))

    def is_proven(self, lookup: Lookup, form: LookupForm) -> bool:
        """Whether the form has found a row, so that an empty answer means that there is none."""
        return (lookup, form) in self._proven

    def ignore(self, lookup: Lookup, form: LookupForm) -> None:
        """The service accepted the form and ignored it: it isn't used again for a while."""
        now = self._monotonic()
        self._ignored[lookup, form] = now
        self._chosen.pop(lookup, None)
        self._proven.discard((lookup, form))
        if form == "in":
            self._in_ignored = now

    def _is_ignored(self, lookup: Lookup, form: LookupForm) -> bool:
        times = [self._ignored.get((lookup, form)), self._in_ignored if form == "in" else None]
        return any(at is not None and self._monotonic() - at < RETRY_IGNORED_S for at in times)

    def ignored_text(self, table: EntitySetTable, lookup: Lookup) -> str:
        """What the service does wrong, for the forms that were tried."""
        forms = [form for form in forms_of(table.version) if self._is_ignored(lookup, form)]
        return "; ".join(
            IGNORED_FORM_TEXT[form] for form in forms if form_fits(form, table, lookup[1])
        )
