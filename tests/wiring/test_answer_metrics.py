from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from bridge.gateway.answer_tally import AnswerTally
from bridge.wiring.answer_metrics import SOURCES, AnswerMetrics


def lines(registry: CollectorRegistry) -> list[str]:
    return [
        line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")
    ]


def test_every_series_of_a_declared_entity_is_there_from_the_start() -> None:
    registry = CollectorRegistry()
    AnswerMetrics(registry).declare([("erp", "order")])
    for source in SOURCES:
        assert f'bridge_answers_total{{entity="erp.order",source="{source}"}} 0.0' in lines(
            registry
        )
    assert 'bridge_answer_age_seconds_count{entity="erp.order"} 0.0' in lines(registry)


def test_answers_are_counted_by_entity_source_reason_and_age() -> None:
    registry = CollectorRegistry()
    metrics = AnswerMetrics(registry)
    metrics.declare([("erp", "order")])
    tallies = {"erp": AnswerTally()}
    metrics.watch(tallies)
    tallies["crm"] = AnswerTally()
    order = tallies["erp"].of("order")
    order.cache = 3
    order.misses["doubt"] = 2
    order.note_age(0.007)
    order.note_age(100, 2)
    tallies["crm"].of("person").view = 1
    counted = lines(registry)
    assert 'bridge_answers_total{entity="erp.order",source="cache"} 3.0' in counted
    assert 'bridge_copy_misses_total{entity="erp.order",reason="doubt"} 2.0' in counted
    assert 'bridge_answer_age_seconds_bucket{entity="erp.order",le="0.005"} 0.0' in counted
    assert 'bridge_answer_age_seconds_bucket{entity="erp.order",le="0.01"} 1.0' in counted
    assert 'bridge_answer_age_seconds_bucket{entity="erp.order",le="+Inf"} 3.0' in counted
    assert 'bridge_answer_age_seconds_sum{entity="erp.order"} 200.007' in counted
    assert 'bridge_answers_total{entity="crm.person",source="view"} 1.0' in counted
