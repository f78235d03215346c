"""What operators' Prometheus sees of a bridge."""

from __future__ import annotations

import dataclasses
import re
import typing

from bridge import __version__
from bridge.model.receipt import State
from bridge.observe import (
    AnswerAudited,
    BreakerMoved,
    Captured,
    CaptureRemark,
    CommandMoved,
    CommandsHeld,
    Confirmed,
    DeadLetterWritten,
    DeletesWithheld,
    EntityPaused,
    EntityState,
    GroupJoined,
    GroupMoved,
    Handled,
    HandlerBlocks,
    HandlerFailed,
    HandlerWaits,
    Notice,
    PartState,
    PeersRead,
    ReadQueued,
    ReadRefused,
    ReadsOwned,
    RecordDistrusted,
    RowsRead,
    SnapshotProgress,
    SourceState,
    Throttled,
    ViewMoved,
    WorkReported,
)
from bridge.wiring.metrics import HANDLER_OUTCOMES, Metrics
from bridge.wiring.metrics_server import HttpRequest
from bridge.wiring.telemetry import Telemetry
from tests.wiring.scopes import scope_of_everything

Series = tuple[str, tuple[tuple[str, str], ...]]

NOTICES: tuple[Notice, ...] = (
    Captured("erp", 3, 0, 0.1, 0.25, "p", {"erp.thing": 2, "erp.other": 1}),
    SourceState("erp", "streaming"),
    *(PartState(kind, "erp", "running") for kind in ("capture", "commands", "reads")),
    PartState("agent", "watch", "failed", "why"),
    GroupMoved("acme.agent.watch", "acme.erp.thing", 3, "why"),
    GroupMoved("acme.executor.erp", "acme.commands", 3, "why"),
    EntityPaused("erp.thing", "why"),
    EntityState("erp.other", "unavailable", "why"),
    CommandsHeld("erp", "erp.block", "held", "why"),
    DeletesWithheld("erp.thing", 2, 1, "why"),
    *(DeadLetterWritten(kind, "erp.thing", "why") for kind in ("row", "record")),
    DeadLetterWritten("event", "watch", "why"),
    DeadLetterWritten("command", "erp", "why"),
    *(Handled("watch", "check", "erp.thing", outcome, 0.1, 0) for outcome in HANDLER_OUTCOMES),
    HandlerBlocks("watch", "check", 1.0, 1.0, "file:1", "why"),
    HandlerWaits("watch", "check", 3, 1.0, "erp", "why"),
    RowsRead("erp", "erp.thing", 5, 1, 0.01),
    AnswerAudited("erp.thing", "same", ""),
    Throttled("erp", 1.0, "why"),
    ReadQueued("erp", "agents", 0.1),
    ReadRefused("erp", "replay", "shed", "why"),
    BreakerMoved("erp", "open", 5, "why", 1.0),
    *(CommandMoved("watch:x", "erp.touch", state) for state in State),
    Confirmed("watch:x", "erp.thing", "p"),
)
"""At least one of each kind that is counted, of what `scope_of_everything` runs."""
NOT_COUNTED = {
    CaptureRemark,
    GroupJoined,
    HandlerFailed,
    PeersRead,
    ReadsOwned,
    RecordDistrusted,
    SnapshotProgress,
    ViewMoved,
    WorkReported,
}
"""Kinds of which others tell: progress has gauges of its own, a failure is one of `Handled`."""


def series(metrics: Metrics) -> dict[Series, float]:
    """Each series but those that only tell when another one was made."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_notices_become_metrics() -> None:
    metrics = Metrics()
    for notice in NOTICES:
        metrics(notice)
    value = metrics.registry.get_sample_value
    assert value("bridge_changes_total", {"entity": "erp.thing"}) == 2
    assert value("bridge_source_streaming", {"system": "erp"}) == 1
    assert value("bridge_reads_total", {"entity": "erp.thing"}) == 5
    assert value("bridge_queries_total", {"entity": "erp.thing"}) == 1
    audited = {"entity": "erp.thing", "verdict": "same"}
    assert value("bridge_audited_answers_total", audited) == 1
    assert value("bridge_command_transitions_total", {"state": "unknown"}) == 1
    assert value("bridge_part_running", {"kind": "agent", "name": "watch"}) == 0


def test_every_series_is_there_with_0_before_its_first_event() -> None:
    """A rate needs the value before the first event; an alarm on what isn't there never fires."""
    metrics = Metrics()
    metrics.declare(scope_of_everything())
    before = series(metrics)
    assert set(before.values()) == {0.0}
    for notice in NOTICES:
        metrics(notice)
    assert series(metrics).keys() == before.keys()


def test_each_kind_of_notice_is_counted_or_left_out_on_purpose() -> None:
    counted = {type(notice) for notice in NOTICES}
    assert counted | NOT_COUNTED == set(typing.get_args(Notice))
    assert counted & NOT_COUNTED == set()
    for kind in counted:
        metrics = Metrics()
        metrics.declare(scope_of_everything())
        before = series(metrics)
        for notice in NOTICES:
            if isinstance(notice, kind):
                metrics(notice)
        assert series(metrics) != before, kind


def test_no_metric_is_left_without_a_series_at_the_start() -> None:
    metrics = Metrics()
    metrics.declare(scope_of_everything())
    assert [metric.name for metric in metrics.registry.collect() if not metric.samples] == []


def test_a_process_that_only_captures_has_no_series_of_agents() -> None:
    """A gauge that nothing ever sets would be an alarm that nobody can silence."""
    scope = dataclasses.replace(scope_of_everything(), executed=(), read=(), agents=())
    metrics = Metrics()
    metrics.declare(scope)
    labels = {label for _, pairs in series(metrics) for label in pairs}
    assert ("kind", "capture") in labels
    assert not {("kind", "agent"), ("kind", "commands"), ("state", "unknown")} & labels


def test_an_entity_that_was_resumed_counts_as_paused_no_longer() -> None:
    metrics = Metrics()
    paused = "bridge_entity_paused"
    metrics(EntityPaused("erp.customer", "another key"))
    assert metrics.registry.get_sample_value(paused, {"entity": "erp.customer"}) == 1
    metrics(EntityState("erp.customer", "captured"))
    assert metrics.registry.get_sample_value(paused, {"entity": "erp.customer"}) == 0


def test_declarations_that_wait_for_a_person_are_counted_until_they_go_on() -> None:
    metrics = Metrics()

    def held() -> float | None:
        return metrics.registry.get_sample_value("bridge_commands_held_back", {"system": "erp"})

    for command in ("erp.a", "erp.b", "erp.b"):
        metrics(CommandsHeld("erp", command, "held", "permission denied"))
    assert held() == 2
    metrics(CommandsHeld("erp", "erp.a", "released"))
    assert held() == 1


async def test_what_is_served_is_what_the_pages_list_and_what_every_process_has() -> None:
    """A third of the series told when another one was made, and none how much memory it takes."""
    telemetry = Telemetry(scope_of_everything())
    for accept in ("", "application/openmetrics-text; version=1.0.0"):
        request = HttpRequest("GET", "/metrics", headers={"accept": accept})
        body = (await telemetry.metrics.respond(request)).body.decode()
        names = {re.split(r"[ {]", line)[0] for line in body.splitlines() if line[:1] != "#"}
        assert not [name for name in names if name.endswith("_created")]
        assert {"process_start_time_seconds", "process_resident_memory_bytes"} <= names
        assert f'bridge_build_info{{version="{__version__}"}} 1.0' in body
    picked = HttpRequest("GET", "/metrics", "name[]=bridge_build_info")
    assert (await telemetry.metrics.respond(picked)).body.count(b"\nbridge_") == 1


def test_a_capture_whose_system_is_away_waits_as_every_part_does() -> None:
    """`/readyz` told it as waiting, and the figure as running."""
    metrics = Metrics()
    running: list[float | None] = []
    for notice in (
        PartState("capture", "erp", "running"),
        SourceState("erp", "streaming"),
        SourceState("erp", "retrying", "away"),
        SourceState("erp", "starting"),
        SourceState("erp", "streaming"),
    ):
        metrics(notice)
        labels = {"kind": "capture", "name": "erp"}
        running.append(metrics.registry.get_sample_value("bridge_part_running", labels))
    assert running == [1, 1, 0, 0, 1]
