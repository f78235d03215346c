"""Every metric that a process serves."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from prometheus_client import Metric

from bridge.log.group_lag import PartitionLag
from bridge.log.port import TopicPartition
from bridge.wiring.telemetry import Telemetry
from tests.docs.site.reference.table import code, plain, table
from tests.wiring.scopes import scope_of_everything

HEAD = """# Metrics

Made from the registry of a process that runs everything: what `bridgectl run --metrics HOST:PORT` serves below
`/metrics`. A histogram's series end with `_bucket`, `_count` and `_sum`. What to watch and what to
do then: [operating](../operating.md#watching).
"""


class ServedMetric(NamedTuple):
    """A metric by its name in a query; form: counter, gauge, histogram"""

    name: str
    form: str
    labels: tuple[str, ...]
    text: str


def metrics_page() -> str:
    """The whole page."""
    rows = [
        (code(metric.name), metric.form, ", ".join(map(code, metric.labels)), plain(metric.text))
        for metric in served_metrics()
    ]
    return f"{HEAD}\n{table(('metric', 'kind', 'labels', 'meaning'), sorted(rows))}\n"


def served_metrics() -> list[ServedMetric]:
    """What a process that captures, reads, writes and runs an agent has, but for its own figures."""
    return asyncio.run(_served_metrics())


async def _served_metrics() -> list[ServedMetric]:
    telemetry = Telemetry(scope_of_everything())
    partition = TopicPartition("acme.erp.thing", 0)
    telemetry.group_lags.note([PartitionLag("acme.agent.watch", partition, 1, 1, 2, 1, 0)], [])
    return [
        ServedMetric(_name(metric), metric.type, _labels(metric), metric.documentation)
        for metric in telemetry.metrics.registry.collect()
        if not metric.name.startswith("process_")
    ]


def _name(metric: Metric) -> str:
    """As people write it in a query: a counter's with `_total`."""
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def _labels(metric: Metric) -> tuple[str, ...]:
    labels = dict.fromkeys(label for sample in metric.samples for label in sample.labels)
    return tuple(label for label in labels if label != "le")
