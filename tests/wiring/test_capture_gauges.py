"""The lag of a capture, as it is when somebody asks."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry

from bridge.capture.report.stats import CaptureStats
from bridge.model.work_progress import MICROSECONDS
from bridge.wiring.capture_gauges import CaptureGauges

LAG, RETAINED = "bridge_capture_lag_seconds", "bridge_source_retained_bytes"


class GaugeClock:
    """Microseconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000 * MICROSECONDS

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * MICROSECONDS)


@pytest.fixture
def clock() -> GaugeClock:
    return GaugeClock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def gauges(registry: CollectorRegistry, clock: GaugeClock) -> CaptureGauges:
    gauges = CaptureGauges(registry, clock)
    gauges.declare(["erp"])
    return gauges


def figure(registry: CollectorRegistry, name: str) -> float:
    value = registry.get_sample_value(name, {"system": "erp"})
    assert value is not None
    return value


def test_lag_grows_while_capture_stands_still(
    registry: CollectorRegistry, gauges: CaptureGauges, clock: GaugeClock
) -> None:
    """It was set by changes, so that the last good value stood there for ever."""
    stats = CaptureStats("erp", "instance", clock())
    gauges.watch({"erp": stats})
    stats.committed(clock(), 5, 0, clock() - MICROSECONDS // 4)
    assert figure(registry, LAG) == pytest.approx(0.25)
    clock.pass_seconds(90)
    assert figure(registry, LAG) == pytest.approx(90.25)
    stats.idle(clock())
    assert figure(registry, LAG) == 0


def test_a_lag_that_is_not_known_is_not_told_as_0(
    registry: CollectorRegistry, gauges: CaptureGauges, clock: GaugeClock
) -> None:
    assert math.isnan(figure(registry, LAG))
    stats = CaptureStats("erp", "instance", clock())
    gauges.watch({"erp": stats})
    stats.idle(clock())
    assert math.isnan(figure(registry, LAG))
    assert math.isnan(figure(registry, RETAINED))
    stats.lag_bytes = 4711
    assert figure(registry, RETAINED) == 4711
