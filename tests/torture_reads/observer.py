"""What was true of each row, and when: the judge of answers. Imports nothing of the bridge.

A writer notes each change of a row before it commits and once the commit has returned, so a state may
be seen from `begun` on, and nothing older may be seen from `done` on. Rows are named by their key;
states by a number that no other change has, None: there is no such row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class NotedState:
    """version: None: there was no row. begun, done: of the change that made it. parent, big: its other
    columns.
    """

    version: int | None
    begun: float
    done: float = math.inf
    parent: int | None = None
    big: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """What somebody was answered of one row.

    as_of: everything that was committed before it has to be in.
    answered_at: when the answer was there.
    """

    key: int
    version: int | None
    as_of: float
    answered_at: float


@dataclass
class NotedHistory:
    """The states of all rows, each row's in the order of their commits."""

    states: dict[int, list[NotedState]] = field(default_factory=dict)

    def of(self, key: int) -> list[NotedState]:
        return self.states.setdefault(key, [NotedState(None, -math.inf, -math.inf)])

    def begin(
        self, key: int, version: int | None, now: float, parent: int | None, big: str | None
    ) -> NotedState:
        """A change is about to be committed, the only one of this row."""
        state = NotedState(version, now, parent=parent, big=big)
        self.of(key).append(state)
        return state

    def possible(self, key: int, as_of: float, answered_at: float) -> list[NotedState]:
        """The states of which one has to be in an answer, the latest first."""
        states, possible = self.of(key), []
        for at in range(len(states) - 1, -1, -1):
            if at + 1 < len(states) and states[at + 1].done < as_of:
                break
            if states[at].begun <= answered_at:
                possible.append(states[at])
        return possible

    def why_stale(self, answer: JudgedAnswer) -> str:
        """Why the answer is older than it may be, or of no time at all; empty: it is right."""
        possible = self.possible(answer.key, answer.as_of, answer.answered_at)
        if any(each.version == answer.version for each in possible):
            return ""
        return f"{answer} is none of {possible}; the last states are {self.of(answer.key)[-4:]}"

    def why_missing(self, key: int, parent: int, as_of: float, answered_at: float) -> str:
        """Why a row has to be in the list of its parent's rows; empty: it needn't."""
        possible = self.possible(key, as_of, answered_at)
        if any(each.version is None or each.parent != parent for each in possible):
            return ""
        return f"row {key} is missing in the list of {parent} as of {as_of}: {possible}"

    def state(self, key: int, version: int) -> NotedState:
        """The state with that version."""
        return self.of(key)[self.number(key, version)]

    def is_risky(self, key: int, since: float) -> bool:
        """Whether the row was changed since then: an old copy of it would be found out."""
        return self.of(key)[-1].done >= since

    def number(self, key: int, version: int) -> int:
        """Where a state stands among those of its row."""
        return next(at for at, each in enumerate(self.of(key)) if each.version == version)

    def differences(self, recorded: Mapping[int, Sequence[int | None]]) -> list[str]:
        """Where what the database recorded of itself differs from what the writers noted."""
        return [
            f"row {key}: the database has {list(recorded.get(key, ()))[-5:]}, noted were {noted[-5:]}"
            for key, noted in self._noted()
            if list(recorded.get(key, ())) != noted
        ]

    def _noted(self) -> Iterable[tuple[int, list[int | None]]]:
        for key, states in self.states.items():
            yield key, [each.version for each in states[1:]]
