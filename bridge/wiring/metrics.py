"""Notices of the core as Prometheus metrics. Every series of what a process runs is there from its
start, with 0: a rate needs the value before the first event, and an alarm a series to look at.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Final, get_args
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from bridge.gateway.audit.verdict import AuditVerdict
from bridge.model.receipt import State
from bridge.observe import (
    AnswerAudited,
    BreakerMoved,
    Captured,
    CommandMoved,
    CommandsHeld,
    Confirmed,
    DeadLetterWritten,
    DeletesWithheld,
    EntityPaused,
    EntityState,
    GroupMoved,
    Handled,
    HandlerBlocks,
    HandlerWaits,
    Notice,
    PartState,
    ReadQueued,
    ReadRefusal,
    ReadRefused,
    RowsRead,
    SourceState,
    Throttled,
)
from bridge.wiring.answer_metrics import AnswerMetrics
from bridge.wiring.metrics_server import HttpRequest, HttpResponse
from bridge.wiring.run_scope import RunScope

HANDLER_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
HANDLER_OUTCOMES: Final = ("done", "retry", "parked", "echo")
ROW_LETTERS: Final = ("row", "record")
WORK_CLASSES: Final = ("commands", "agents", "surfaces", "replay")
RUNNING_STATES: Final = frozenset({"running", "opened"})


class Metrics:
    """An observer that counts. `registry` holds the metrics; make one a process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        entity, system, handler = ["entity"], ["system"], ["agent", "handler"]
        self._changes = counter("bridge_changes", "Changes written to the log", entity)
        self._dead_letters = counter("bridge_dead_letters", "Dead letters", ["kind", "source"])
        self._streaming = gauge("bridge_source_streaming", "1 while the source streams", system)
        self._part_running = gauge("bridge_part_running", "1 while the part runs", ["kind", "name"])
        text = "Records that were removed before a group read them, at most"
        self._missing_records = counter("bridge_group_missing_records", text, ["group", "topic"])
        self._paused = gauge("bridge_entity_paused", "1 while the entity is paused", entity)
        text = "1 while the entity can't be captured for now"
        self._unavailable = gauge("bridge_entity_unavailable", text, entity)
        self._handler_duration = Histogram(
            "bridge_handler_duration_seconds",
            "Duration of each attempt of a handler",
            [*handler, "outcome"],
            buckets=HANDLER_BUCKETS_S,
            registry=registry,
        )
        text = "Seconds for which handlers blocked their agent's event loop"
        self._handler_blocking = counter("bridge_handler_blocking_seconds", text, handler)
        text = "Events whose handlers wait for something that is away"
        self._handler_waiting = gauge("bridge_handler_waiting_events", text, handler)
        self._reads = counter("bridge_reads", "Reads requested of the gateway", entity)
        self._queries = counter("bridge_queries", "Queries that these reads became", entity)
        text = "Seconds for which reads were throttled because a system asked for it"
        self._throttled = counter("bridge_throttled_seconds", text, system)
        self._queue_duration = Histogram(
            "bridge_read_queue_seconds",
            "Time that queries waited for their start; those that started at once aren't counted",
            ["system", "work"],
            buckets=HANDLER_BUCKETS_S,
            registry=registry,
        )
        text = "Queries that were refused and not sent, by the cause"
        self._refused_reads = counter("bridge_reads_refused", text, ["system", "work", "cause"])
        text = "1 while a system is unavailable, so that it is sent nothing but probes"
        self._breaker_open = gauge("bridge_breaker_open", text, system)
        text = "Commands that reached a state"
        self._command_transitions = counter("bridge_command_transitions", text, ["state"])
        text = "Declared commands held back until a person grants a right or creates a table"
        self._commands_held_back = gauge("bridge_commands_held_back", text, system)
        self._held_back_names: dict[str, set[str]] = {}
        text = "Deletes that a reconcile withheld: the system has the rows, or can't be asked"
        self._deletes_withheld = counter("bridge_deletes_withheld", text, entity)
        text = "Answers of copies that were compared with their system, by what that showed"
        self._audited = counter("bridge_audited_answers", text, ["entity", "verdict"])
        #: Read off the gateways' tallies.
        self.answers = AnswerMetrics(registry)
        text = "Effects whose change came back through capture"
        self._commands_confirmed = counter("bridge_commands_confirmed", text, entity)

    def declare(self, scope: RunScope) -> None:
        """Make every series that what this process runs may ever have."""
        captured = scope.entities_of(scope.captured)
        for metric in (
            self._changes,
            self._paused,
            self._unavailable,
            self._deletes_withheld,
            self._commands_confirmed,
        ):
            _declare(metric, ((entity,) for entity in captured))
        _declare(self._streaming, ((name,) for name in scope.captured))
        self.declare_parts([("bridge", scope.bridge), *scope.parts])
        self.declare_parts(("reads", name) for name in scope.read)
        for metric in (self._throttled, self._breaker_open):
            _declare(metric, ((name,) for name in scope.read))
        work = [(name, work) for name in scope.read for work in WORK_CLASSES]
        _declare(self._queue_duration, work)
        causes = get_args(ReadRefusal)
        _declare(self._refused_reads, ((*each, cause) for each in work for cause in causes))
        self.declare_parts(("copy", name) for name in scope.copied)
        read = scope.entities_of(scope.read)
        self.answers.declare(
            (system, entity.partition(".")[2])
            for system in scope.read
            for entity in scope.entities_of([system])
        )
        verdicts = [(entity, verdict.value) for entity in read for verdict in AuditVerdict]
        _declare(self._audited, verdicts)
        for metric in (self._reads, self._queries):
            _declare(metric, ((entity,) for entity in read))
        letters = [(kind, entity) for kind in ROW_LETTERS for entity in captured]
        letters += [("event", agent.name) for agent in scope.agents]
        letters += [("command", name) for name in scope.executed]
        _declare(self._dead_letters, letters)
        groups = scope.groups.items()
        _declare(
            self._missing_records, ((group, topic) for group, topics in groups for topic in topics)
        )
        for agent in scope.agents:
            for handler in agent.handlers:
                outcomes = ((agent.name, handler.name, outcome) for outcome in HANDLER_OUTCOMES)
                _declare(self._handler_duration, outcomes)
                _declare(self._handler_blocking, [(agent.name, handler.name)])
                _declare(self._handler_waiting, [(agent.name, handler.name)])
        if scope.executed:
            _declare(self._command_transitions, ((state.value,) for state in State))
            _declare(self._commands_held_back, ((name,) for name in scope.executed))

    def declare_parts(self, parts: Iterable[tuple[str, str]]) -> None:
        """Make the series of these parts, by kind and name."""
        _declare(self._part_running, parts)

    def __call__(self, notice: Notice) -> None:
        """Count a notice."""
        match notice:
            case Captured():
                for entity, count in notice.entities.items():
                    self._changes.labels(entity).inc(count)
            case SourceState():
                streams = notice.state == "streaming"
                self._streaming.labels(notice.system).set(streams)
                # As of every other part: what waits for its system doesn't run. One more try is no news.
                if streams or notice.state == "retrying":
                    self._part_running.labels("capture", notice.system).set(streams)
            case PartState():
                self._part_running.labels(notice.kind, notice.name).set(
                    notice.state in RUNNING_STATES
                )
            case GroupMoved():
                self._missing_records.labels(notice.group, notice.topic).inc(notice.missing)
            case EntityPaused():
                self._paused.labels(notice.entity).set(1)
            case EntityState():
                self._unavailable.labels(notice.entity).set(notice.state == "unavailable")
                if notice.state == "captured":
                    self._paused.labels(notice.entity).set(0)
            case CommandsHeld():
                names = self._held_back_names.setdefault(notice.system, set())
                (names.add if notice.state == "held" else names.discard)(notice.command)
                self._commands_held_back.labels(notice.system).set(len(names))
            case DeletesWithheld():
                self._deletes_withheld.labels(notice.entity).inc(notice.present + notice.unasked)
            case DeadLetterWritten():
                self._dead_letters.labels(notice.kind, notice.source).inc()
            case Handled():
                labels = (notice.agent, notice.handler, notice.outcome)
                self._handler_duration.labels(*labels).observe(notice.seconds)
            case HandlerBlocks():
                self._handler_blocking.labels(notice.agent, notice.handler).inc(notice.seconds)
            case HandlerWaits():
                self._handler_waiting.labels(notice.agent, notice.handler).set(notice.events)
            case RowsRead():
                self._reads.labels(notice.entity).inc(notice.reads)
                self._queries.labels(notice.entity).inc(notice.queries)
            case AnswerAudited():
                self._audited.labels(notice.entity, notice.verdict).inc()
            case Throttled():
                self._throttled.labels(notice.system).inc(notice.seconds)
            case ReadQueued():
                self._queue_duration.labels(notice.system, notice.work).observe(notice.seconds)
            case ReadRefused():
                labels = (notice.system, notice.work, notice.cause)
                self._refused_reads.labels(*labels).inc()
            case BreakerMoved():
                self._breaker_open.labels(notice.system).set(notice.state == "open")
            case CommandMoved():
                self._command_transitions.labels(notice.state).inc()
            case Confirmed():
                self._commands_confirmed.labels(notice.entity).inc()
            case _:
                pass

    async def respond(self, request: HttpRequest) -> HttpResponse:
        """All figures, in the form that the request accepts; `?name[]=` picks some."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        names = parse_qs(request.query).get("name[]")
        registry = self.registry.restricted_registry(names) if names else self.registry
        body = encode(_WithoutCreated(registry))
        if gzip_accepted(request.headers.get("accept-encoding", "")):
            body = gzip.compress(body)
            headers = (("Content-Encoding", "gzip"),)
            return HttpResponse(HTTPStatus.OK, body, content_type, headers)
        return HttpResponse(HTTPStatus.OK, body, content_type)


class _WithoutCreated(CollectorRegistry):
    """A registry without the series that only tell when another one was made: a third of all, and
    the same as the start of the process.
    """

    def __init__(self, whole: Collector) -> None:
        super().__init__()
        self._whole = whole

    def collect(self) -> Iterator[Metric]:
        """What the whole one has; each collection makes its metrics again."""
        for metric in self._whole.collect():
            metric.samples = [
                sample for sample in metric.samples if not sample.name.endswith("_created")
            ]
            yield metric


def _declare(metric: MetricWrapperBase, labels: Iterable[tuple[str, ...]]) -> None:
    for values in labels:
        metric.labels(*values)
