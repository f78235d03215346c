"""What `bridgectl run --metrics HOST:PORT` serves: figures, and whether the process lives and works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from prometheus_client import Gauge, ProcessCollector

from bridge import __version__
from bridge.log.port import TopicPartition
from bridge.log.registry.remembered import RememberedRegistry
from bridge.model.errors import ConfigurationError
from bridge.model.names import DEAD, system_topic
from bridge.model.work_progress import STALLED_AFTER_S
from bridge.observe import Notice, PartState
from bridge.wiring.bridge import Bridge
from bridge.wiring.capture_gauges import CaptureGauges
from bridge.wiring.group_lag_gauges import GroupLagGauges
from bridge.wiring.metrics import Metrics
from bridge.wiring.metrics_server import serving
from bridge.wiring.progress_gauges import ProgressGauges
from bridge.wiring.readiness import EventLoopLiveness, Readiness
from bridge.wiring.run_scope import RunScope


class Telemetry:
    """An observer that counts what happens and notes what runs. Made in the bridge's event loop."""

    def __init__(self, scope: RunScope, stalled_after_s: float = STALLED_AFTER_S) -> None:
        loop = asyncio.get_running_loop()
        self.metrics = Metrics()
        self.metrics.declare(scope)
        # What every alarm on memory, open files and restarts looks for, under the usual names.
        ProcessCollector(registry=self.metrics.registry)
        version = Gauge("bridge_build_info", "1", ["version"], registry=self.metrics.registry)
        version.labels(__version__).set(1)
        self._captures = CaptureGauges(self.metrics.registry, _now)
        self._captures.declare(scope.captured)
        self._progress = ProgressGauges(self.metrics.registry, _now, stalled_after_s)
        self._progress.declare(scope)
        self.group_lags = GroupLagGauges(self.metrics.registry, scope.groups)
        self.liveness = EventLoopLiveness(loop)
        self.readiness = Readiness(loop, scope.parts, scope.members)

    def __call__(self, notice: Notice) -> None:
        """Count it, and note what it says of parts."""
        self.metrics(notice)
        self.readiness(notice)
        self._progress(notice)

    @asynccontextmanager
    async def watching(self, bridge: Bridge) -> AsyncIterator[None]:
        """Ask its log and watch its captures until the end of the block; it is open meanwhile."""
        self.metrics(PartState("bridge", bridge.name, "running"))
        if isinstance(bridge.registry, RememberedRegistry):
            self.metrics.declare_parts([("registry", bridge.registry.name)])
        self._captures.watch(bridge.capture_stats)
        self.metrics.answers.watch(bridge.answers)
        partition = TopicPartition(system_topic(bridge.name, DEAD), 0)

        async def check_log() -> None:
            await bridge.log.end_offsets([partition])

        self.readiness.log_is_open(check_log)
        measuring = asyncio.create_task(self.group_lags.measure_on_and_on(bridge.log))
        try:
            yield
        finally:
            measuring.cancel()
            await asyncio.wait([measuring])

    @contextmanager
    def served(self, address: str) -> Iterator[int]:
        """Serve at HOST:PORT until the end of the block; yields the port (0 takes any).

        Raises ConfigurationError for an address that can't be used.
        """
        host, _, port = address.rpartition(":")
        if not port.isdecimal():
            raise ConfigurationError(
                f"--metrics {address!r} is not HOST:PORT, such as 127.0.0.1:9464"
            )
        routes = {
            "/metrics": self.metrics.respond,
            "/healthz": self.liveness.respond,
            "/readyz": self.readiness.respond,
        }
        with serving(routes, host.strip("[]") or "127.0.0.1", int(port)) as bound_port:
            yield bound_port


def _now() -> int:
    return time.time_ns() // 1000
