"""Who answered the reads of a system, and how old the answers of its copy were: counted where they
are given, read when somebody asks. Used by one event loop; counts may be read by any thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

from bridge.ports.held_entry import SupportsServed

AGES_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the classes of ages, in seconds; the last class has none."""


class EntityAnswers:
    """The answers about one entity since the start of the process.

    cache, view: given by the copy. held: who else answers from the cache, in other threads. legacy: rows and lists that a query brought for this read.
    peers: that a query had brought before for a row of the same answer.
    misses: why the legacy system was asked although there is a copy -> how often.
    ages: how many of the copy's answers were of each class of `AGES_S`, and older.
    age_sum, oldest: of those, in seconds.
    """

    __slots__ = (
        "age_sum",
        "ages",
        "cache",
        "held",
        "legacy",
        "misses",
        "oldest",
        "peers",
        "view",
    )

    def __init__(self) -> None:
        self.cache = self.view = self.legacy = self.peers = 0
        self.held: list[SupportsServed] = []
        self.misses: Counter[str] = Counter()
        self.ages = [0] * (len(AGES_S) + 1)
        self.age_sum = self.oldest = 0.0

    def note_age(self, seconds: float, answers: int = 1) -> None:
        """Answers of the copy were so old when they were given."""
        seconds = max(0.0, seconds)
        self.ages[bisect_left(AGES_S, seconds)] += answers
        self.age_sum += seconds * answers
        self.oldest = max(self.oldest, seconds)

    @property
    def by_source(self) -> dict[str, int]:
        """Source -> how many answers it gave."""
        return {
            "view": self.view,
            "cache": self.cache + sum(each.served for each in self.held),
            "peers": self.peers,
            "legacy": self.legacy,
        }


class AnswerTally:
    """The answers of one system by bare entity name."""

    def __init__(self) -> None:
        self.entities: dict[str, EntityAnswers] = {}

    def of(self, entity: str) -> EntityAnswers:
        """Always the same object."""
        answers = self.entities.get(entity)
        if answers is None:
            answers = self.entities[entity] = EntityAnswers()
        return answers

    def summary(self) -> str:
        """A sentence for people."""
        total: Counter[str] = Counter()
        for answers in self.entities.values():
            total.update(answers.by_source)
        count = total.total()
        if not count:
            return "no reads yet"
        shares = ", ".join(
            f"{source} {number / count:.0%}" for source, number in total.items() if number
        )
        oldest = max(answers.oldest for answers in self.entities.values())
        age = f"; the oldest answer of the copy was {oldest:.2f} s old" if oldest else ""
        return f"{count:,} answers: {shares}{age}"
