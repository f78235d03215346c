"""Who answered reads, as Prometheus metrics that are read off the tallies when they are asked for: an
answer of the cache costs less than counting it in a metric would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from bridge.gateway.answer_tally import AGES_S, AnswerTally, EntityAnswers
from bridge.gateway.freshness.read_order import MISS_CODES

SOURCES = tuple(EntityAnswers().by_source)


class AnswerMetrics(Collector):
    """Counters of answers and misses, and a histogram of ages, of every gateway that is open.

    tallies: by system; more may appear later.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tallies: Mapping[str, AnswerTally] = {}
        self._declared: list[tuple[str, str]] = []
        registry.register(self)

    def declare(self, entities: Iterable[tuple[str, str]]) -> None:
        """Make the series of these entities, by system and bare name."""
        self._declared = list(entities)

    def watch(self, tallies: Mapping[str, AnswerTally]) -> None:
        """From now on these are read."""
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        """As of now."""
        answers = CounterMetricFamily(
            "bridge_answers", "Answers to reads by who gave them", labels=["entity", "source"]
        )
        misses = CounterMetricFamily(
            "bridge_copy_misses",
            "Reads that the legacy system was asked for although there is a copy, by reason",
            labels=["entity", "reason"],
        )
        ages = HistogramMetricFamily(
            "bridge_answer_age_seconds", "Age of the copy's answers", labels=["entity"]
        )
        for entity, counted in self._entities():
            for source, count in counted.by_source.items():
                answers.add_metric([entity, source], count)
            for reason in MISS_CODES:
                misses.add_metric([entity, reason], counted.misses[reason])
            ages.add_metric([entity], _buckets(counted.ages), counted.age_sum)
        yield from (answers, misses, ages)

    def _entities(self) -> Iterator[tuple[str, EntityAnswers]]:
        none = EntityAnswers()
        names = dict.fromkeys(self._declared)
        for system, tally in list(self._tallies.items()):
            names.update(dict.fromkeys((system, entity) for entity in list(tally.entities)))
        for system, entity in names:
            tallied = self._tallies.get(system)
            counted = none if tallied is None else tallied.entities.get(entity, none)
            yield f"{system}.{entity}", counted


def _buckets(ages: list[int]) -> list[tuple[str, float]]:
    """Cumulative, as the format has them."""
    total, buckets = 0, []
    for bound, count in zip((*map(str, AGES_S), "+Inf"), ages, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
