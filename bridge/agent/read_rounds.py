"""Which reads of a handler could have been one: reads of one kind that it made one after the other.

Reads of an attempt that wait at the same time share a query, and so are one *round*. A loop that
awaits each read makes as many rounds as it has turns, where one would do. Answers that no query was
needed for count as well: whether a row was held is luck. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from bridge.model.read_demands import ReadCause

MAX_SITES: Final = 1_000
"""Places of reads that are counted; later ones are left out."""
MAX_ATTEMPTS: Final = 1_000
"""Attempts of which is known what they have read; the oldest is forgotten."""

ReadKind = Literal["get", "get_many", "related", "query"]


class ReadSite(NamedTuple):
    """Where a handler reads what.

    line: `file.py:17`; empty where it isn't known, as in a thread or a task of the handler's own.
    by: the relation's name, or the fields of a query; else empty.
    """

    handler: str
    line: str
    kind: ReadKind
    entity: str
    by: tuple[str, ...] = ()

    @property
    def call(self) -> str:
        """The read, as it stands in the handler."""
        if self.kind == "related":
            return f'ctx.related(row, "{self.by[0]}")'
        if self.kind == "query":
            where = ", ".join(f'"{field}": ...' for field in self.by)
            return f'ctx.query("{self.entity}", {{{where}}})'
        return f'ctx.{self.kind}("{self.entity}", {"keys" if self.kind == "get_many" else "key"})'

    @property
    def text(self) -> str:
        """`handler at file.py:17: the read`."""
        return f"{self.handler}{f' at {self.line}' if self.line else ''}: {self.call}"

    @property
    def cure(self) -> str:
        """A line that reads the same for all rows in one round."""
        if self.kind == "get":
            return f'await ctx.get_many("{self.entity}", keys)'
        if self.kind == "get_many":
            return f"{self.call}, once with the keys of all"
        return f"await asyncio.gather(*({self.call} for row in rows))"


@dataclass(frozen=True, slots=True)
class SiteReads:
    """What was counted at one place.

    attempts: that read there; reads, rounds: of all of them.
    """

    attempts: int = 0
    reads: int = 0
    rounds: int = 0

    @property
    def savable(self) -> int:
        """Rounds that could have been saved: all but one an attempt."""
        return self.rounds - self.attempts


class ReadRounds:
    """Counts the reads of one agent. Used by one task at a time."""

    def __init__(self, max_sites: int = MAX_SITES, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._max_sites = max_sites
        self._max_attempts = max_attempts
        self._sites: dict[ReadSite, SiteReads] = {}
        self._attempts: dict[int, tuple[ReadCause, dict[ReadSite, int]]] = {}

    def begin(self, cause: ReadCause, site: ReadSite) -> None:
        """The attempt `cause` begins to read there."""
        waiting = self._attempt(cause)
        counted = self._sites.get(site)
        if counted is None:
            if len(self._sites) >= self._max_sites:
                return
            counted = SiteReads()
        is_first, is_round = site not in waiting, not waiting.get(site)
        waiting[site] = waiting.get(site, 0) + 1
        self._sites[site] = replace(
            counted,
            attempts=counted.attempts + is_first,
            reads=counted.reads + 1,
            rounds=counted.rounds + is_round,
        )

    def end(self, cause: ReadCause, site: ReadSite) -> None:
        """A read that was begun has its answer, or none."""
        waiting = self._attempt(cause)
        waiting[site] = max(0, waiting.get(site, 0) - 1)

    def loops(self, allowed: Collection[str] = ()) -> list[tuple[ReadSite, SiteReads]]:
        """Places where rounds could be saved, most first. allowed: handlers that may have loops."""
        savable = [
            (site, counted)
            for site, counted in self._sites.items()
            if counted.savable and site.handler not in allowed
        ]
        return sorted(savable, key=lambda each: (-each[1].savable, each[0]))

    def text(self, queries: int, allowed: Collection[str] = ()) -> str:
        """For people and for tests: the same text for the same reads. queries: of all reads."""
        reads = sum(counted.reads for counted in self._sites.values())
        rounds = sum(counted.rounds for counted in self._sites.values())
        lines = [
            f"{_count(reads, 'read')} in {_count(rounds, 'round')}, {_count(queries, 'query')}"
        ]
        for site, counted in self.loops(allowed):
            total = f"{_count(counted.reads, 'read')} in {_count(counted.rounds, 'round')}"
            lines.append(f"{site.text}: {total}; {counted.attempts} would do")
            lines.append(f"    {site.cure}")
        return "\n".join(lines)

    def _attempt(self, cause: ReadCause) -> dict[ReadSite, int]:
        """How many reads wait at each place where the attempt has read."""
        attempt = self._attempts.get(id(cause))
        if attempt is None:
            if len(self._attempts) >= self._max_attempts:
                del self._attempts[next(iter(self._attempts))]
            # With the cause, so that its id stays its own.
            attempt = self._attempts[id(cause)] = cause, {}
        return attempt[1]


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
