"""The table of metrics holds exactly what a process serves, with the labels that it has."""

from __future__ import annotations

import re
from pathlib import Path

from bridge.log.group_lag import PartitionLag
from bridge.log.port import TopicPartition
from bridge.wiring.telemetry import Telemetry
from tests.wiring.scopes import scope_of_everything

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
_ROW = re.compile(r"^\| `(bridge_\w+)` \| (.*?) \| (.+?) \|$", re.MULTILINE)
_SUFFIXES = re.compile(r"_(?:bucket|count|sum|created)$")


def documented() -> dict[str, set[str]]:
    """The labels of each metric of the table."""
    rows = _ROW.findall(OPERATING.read_text())
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels, _ in rows}


async def test_each_metric_is_documented_with_its_labels_and_no_other_is() -> None:
    served: dict[str, set[str]] = {}
    telemetry = Telemetry(scope_of_everything())
    partition = TopicPartition("acme.erp.thing", 0)
    telemetry.group_lags.note([PartitionLag("acme.agent.watch", partition, 1, 1, 2, 1, 0)], [])
    for metric in telemetry.metrics.registry.collect():
        for sample in metric.samples:
            if not sample.name.endswith("_created") and not sample.name.startswith("process_"):
                labels = served.setdefault(_SUFFIXES.sub("", sample.name), set())
                labels |= set(sample.labels) - {"le"}
    assert len(served) > 15
    assert documented() == served
