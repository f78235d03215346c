"""What operators' Prometheus sees of a bridge."""

from __future__ import annotations

import httpx
import pytest

from bridge.model.errors import ConfigurationError
from bridge.observe import (
    Captured,
    CommandMoved,
    EntityPaused,
    EntityState,
    Handled,
    Read,
    SourceState,
)
from bridge.wiring.metrics import Metrics, served


def test_notices_become_metrics_that_can_be_scraped() -> None:
    metrics = Metrics()
    metrics(Captured("erp", 3, 0, 0.1, 0.25, "p", {"erp.sales_order": 2, "erp.customer": 1}))
    metrics(Captured("erp", 1, 0, 0.1, None, "p", {"erp.sales_order": 1}))
    metrics(SourceState("erp", "streaming"))
    metrics(Handled("credit-watch", "check", "erp.sales_order", "done", 0.002, 1))
    metrics(Read("erp", "customer", 5, 1, 0.01))
    metrics(CommandMoved("credit-watch:x", "erp.block_order", "succeeded"))
    with served(metrics, "127.0.0.1:0") as port:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'bridge_changes_total{entity="erp.sales_order"} 3.0' in text
    assert 'bridge_capture_behind_seconds{system="erp"} 0.25' in text
    assert 'bridge_source_streaming{system="erp"} 1.0' in text
    assert 'bridge_reads_total{entity="erp.customer"} 5.0' in text
    assert 'bridge_queries_total{entity="erp.customer"} 1.0' in text
    assert 'bridge_command_states_total{state="succeeded"} 1.0' in text
    assert 'outcome="done"' in text


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:", "host.invalid:80"])
def test_an_address_that_cannot_be_used_is_named(address: str) -> None:
    with pytest.raises(ConfigurationError, match="--metrics"), served(Metrics(), address):
        pass


def test_an_entity_that_was_resumed_counts_as_paused_no_longer() -> None:
    metrics = Metrics()
    paused = "bridge_entity_paused"
    metrics(EntityPaused("erp.customer", "another key"))
    assert metrics.registry.get_sample_value(paused, {"entity": "erp.customer"}) == 1
    metrics(EntityState("erp.customer", "captured"))
    assert metrics.registry.get_sample_value(paused, {"entity": "erp.customer"}) == 0
