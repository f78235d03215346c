"""Notices of the core as Prometheus metrics, served over HTTP where a port was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app

from bridge.model.errors import ConfigurationError
from bridge.observe import (
    Captured,
    CommandMoved,
    Confirmed,
    DeadLetter,
    EntityPaused,
    EntityState,
    GroupMoved,
    Handled,
    HandlerBlocks,
    HeldBack,
    Notice,
    PartState,
    Read,
    SourceState,
)
from bridge.wiring.metrics_server import serving

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """An observer that counts. `registry` holds the metrics; make one a process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._changes = Counter(
            "bridge_changes", "Changes written to the log", ["entity"], registry=registry
        )
        self._dead = Counter(
            "bridge_dead_letters", "Dead letters", ["kind", "source"], registry=registry
        )
        self._behind = Gauge(
            "bridge_capture_behind_seconds",
            "Age of the newest change's commit when it was written",
            ["system"],
            registry=registry,
        )
        self._up = Gauge(
            "bridge_source_streaming", "1 while the source streams", ["system"], registry=registry
        )
        self._part = Gauge(
            "bridge_part_running", "1 while the part runs", ["kind", "name"], registry=registry
        )
        self._missing = Counter(
            "bridge_group_missing_records",
            "Records that were removed before a group read them, at most",
            ["group", "topic"],
            registry=registry,
        )
        self._paused = Gauge(
            "bridge_entity_paused", "1 while the entity is paused", ["entity"], registry=registry
        )
        self._troubled = Gauge(
            "bridge_entity_troubled",
            "1 while the entity can't be captured",
            ["entity"],
            registry=registry,
        )
        self._handled = Histogram(
            "bridge_handler_seconds",
            "How long handlers took",
            ["agent", "handler", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._blocks = Counter(
            "bridge_handler_blocks_seconds",
            "Seconds for which handlers kept their agent's event loop for themselves",
            ["agent", "handler"],
            registry=registry,
        )
        self._asked = Counter("bridge_reads", "Reads asked for", ["entity"], registry=registry)
        self._queries = Counter(
            "bridge_queries", "Queries that reads became", ["entity"], registry=registry
        )
        self._held = Counter(
            "bridge_held_back_seconds",
            "Seconds for which systems asked to be left alone",
            ["system"],
            registry=registry,
        )
        self._moved = Counter(
            "bridge_command_states", "Commands that reached a state", ["state"], registry=registry
        )
        self._confirmed = Counter(
            "bridge_commands_confirmed", "Effects seen again", ["entity"], registry=registry
        )

    def __call__(self, notice: Notice) -> None:
        """Count a notice."""
        match notice:
            case Captured():
                for entity, count in notice.entities.items():
                    self._changes.labels(entity).inc(count)
                if notice.behind is not None:
                    self._behind.labels(notice.system).set(notice.behind)
            case SourceState():
                self._up.labels(notice.system).set(notice.state == "streaming")
            case PartState():
                self._part.labels(notice.kind, notice.name).set(notice.state == "running")
            case GroupMoved():
                self._missing.labels(notice.group, notice.topic).inc(notice.missing)
            case EntityPaused():
                self._paused.labels(notice.entity).set(1)
            case EntityState():
                self._troubled.labels(notice.entity).set(notice.state == "troubled")
                if notice.state == "captured":
                    self._paused.labels(notice.entity).set(0)
            case DeadLetter():
                self._dead.labels(notice.kind, notice.source).inc()
            case Handled():
                labels = (notice.agent, notice.handler, notice.outcome)
                self._handled.labels(*labels).observe(notice.seconds)
            case HandlerBlocks():
                self._blocks.labels(notice.agent, notice.handler).inc(notice.seconds)
            case Read():
                entity = f"{notice.system}.{notice.entity}"
                self._asked.labels(entity).inc(notice.asked)
                self._queries.labels(entity).inc(notice.queries)
            case HeldBack():
                self._held.labels(notice.system).inc(notice.seconds)
            case CommandMoved():
                self._moved.labels(notice.state).inc()
            case Confirmed():
                self._confirmed.labels(notice.entity).inc()
            case _:
                pass


@contextmanager
def served(metrics: Metrics, address: str) -> Iterator[int]:
    """Serve `metrics` at HOST:PORT until the end of the block; yields the port (0 takes any).

    Raises ConfigurationError for an address that can't be used.
    """
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise ConfigurationError(f"--metrics {address!r} is not HOST:PORT, such as 127.0.0.1:9464")
    app = make_wsgi_app(metrics.registry)
    with serving(app, host.strip("[]") or "127.0.0.1", int(port)) as found:
        yield found
