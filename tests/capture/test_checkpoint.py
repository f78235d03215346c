"""The checkpoint record and requests: pure."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture import control
from bridge.capture.checkpoint.codec import dump, load
from bridge.capture.checkpoint.record import (
    TRUNCATED_PREFIX,
    CheckpointRecord,
    EntityPause,
    RereadKeys,
    SnapshotJob,
    SnapshotResult,
    enqueue,
    finish,
    pause,
)
from bridge.capture.outbox import Outbox, RecordGroup
from bridge.log.port import Entry
from bridge.model.errors import ConfigurationError, Rejected
from tests.waiting import WAIT_TIMEOUT_S

NAMES = st.text("abc_", min_size=1, max_size=5)
CURSORS = st.none() | st.lists(st.text() | st.integers()).map(tuple)
JOBS = st.builds(
    SnapshotJob,
    id=NAMES,
    entity=NAMES,
    where=st.none() | st.dictionaries(NAMES, st.text() | st.lists(st.integers())),
    reconcile=st.booleans(),
    after=CURSORS,
    whole=st.booleans(),
    rereads=st.lists(
        st.builds(RereadKeys, after=CURSORS, keys=st.frozensets(st.binary(max_size=5))), max_size=2
    ).map(tuple),
    rows=st.integers(0),
    since=NAMES,
    spared=st.frozensets(st.binary(max_size=5)),
    max_deletes=st.sampled_from(["", "5", "40%"]),
)
PROGRESS = st.builds(
    CheckpointRecord,
    epoch=st.integers(0, 9),
    checkpoint=st.none() | st.binary(),
    counter=st.integers(0, 2**40),
    owner=NAMES,
    paused=st.dictionaries(
        NAMES, st.builds(EntityPause, reason=st.text(), position=NAMES, since=st.integers(0))
    ),
    jobs=st.lists(JOBS, max_size=3).map(tuple),
    taken=st.dictionaries(NAMES, NAMES),
    results=st.lists(
        st.builds(
            SnapshotResult, id=NAMES, entity=NAMES, rows=st.integers(0), deleted=st.integers(0),
            position=NAMES, at=st.integers(0), failed=st.text(),
        ),
        max_size=2,
    ).map(tuple),
)  # fmt: skip


def test_a_request_is_one_that_an_earlier_version_knows_unless_it_says_more() -> None:
    request = control.request("erp", "snapshot", "t", reconcile=True)
    assert b"max_deletes" not in control.dump(request)
    assert control.load(control.dump(request)) == request
    limited = control.request("erp", "snapshot", "t", reconcile=True, max_deletes="7")
    assert control.load(control.dump(limited)) == limited


@pytest.mark.parametrize(("own", "inherited"), [("", "100%"), ("5", "5")])
def test_a_comparison_in_the_place_of_a_truncates_needs_no_person_either(
    own: str, inherited: str
) -> None:
    cut = SnapshotJob(f"{TRUNCATED_PREFIX}t-1", "t", reconcile=True)
    later = SnapshotJob("later", "t", reconcile=True, max_deletes=own)
    progress = enqueue(enqueue(CheckpointRecord(), cut), later)
    assert progress.jobs == (replace(later, max_deletes=inherited),)
    other = enqueue(enqueue(CheckpointRecord(), SnapshotJob("first", "t", reconcile=True)), later)
    assert other.jobs == (later,)


@given(PROGRESS)
def test_a_checkpoint_record_is_read_back_as_it_was_written(progress: CheckpointRecord) -> None:
    assert load(dump(progress), "erp") == progress


def test_a_record_of_a_newer_version_names_the_way_out() -> None:
    newer = dump(CheckpointRecord()).replace(b'"format":1', b'"format":9')
    with pytest.raises(ConfigurationError, match="format 9"):
        load(newer, "erp")
    with pytest.raises(ConfigurationError, match="topic prefix"):
        load(b"not ours", "erp")


def test_a_reconcile_takes_the_place_of_other_snapshots_of_its_entity() -> None:
    progress = enqueue(
        enqueue(CheckpointRecord(), SnapshotJob("one", "a")), SnapshotJob("two", "b")
    )
    progress = enqueue(progress, SnapshotJob("three", "a", reconcile=True))
    assert [job.id for job in progress.jobs] == ["two", "three"]
    assert "replaced by three" in progress.results[0].failed


def test_a_snapshot_of_some_rows_is_not_the_first_snapshot() -> None:
    progress = finish(enqueue(CheckpointRecord(), SnapshotJob("one", "a", where={"x": 1})), 0)
    assert progress.taken == {}
    assert "a" in finish(enqueue(progress, SnapshotJob("two", "a")), 0).taken


def test_a_paused_entity_is_resumed_by_a_reconcile_and_refuses_plain_snapshots() -> None:
    progress = pause(CheckpointRecord(), "a", EntityPause("broken", "", 0))
    refused = control.apply(progress, control.request("erp", "snapshot", "a"), {"a": True}, 1)
    assert "broken" in refused.results[0].failed
    resumed = control.apply(progress, control.request("erp", "resume", "a"), {"a": True}, 1)
    assert resumed.paused == {}
    assert [job.reconcile for job in resumed.jobs] == [True]


def test_a_request_for_a_system_is_one_job_for_each_entity() -> None:
    request = control.request("erp", "snapshot", reconcile=True)
    progress = control.apply(CheckpointRecord(), request, {"a": True, "b": True}, 1)
    assert [job.id for job in progress.jobs] == [f"{request.id}-0", f"{request.id}-1"]
    assert control.load(control.dump(request)) == request


@pytest.mark.parametrize(
    ("entity", "reconcile"), [("a", True), ("", False)], ids=["reconcile", "no entity"]
)
def test_requests_that_contradict_themselves_are_refused(entity: str, reconcile: bool) -> None:
    with pytest.raises(Rejected):
        control.request("erp", "snapshot", entity, where={"x": 1}, reconcile=reconcile)


def group(*keys: bytes) -> RecordGroup:
    record_group = RecordGroup(replace(CheckpointRecord(), owner=keys[-1].decode()), ack=keys[-1])
    record_group.add("t", [Entry(key, b"") for key in keys])
    record_group.count("erp.t", len(keys))
    return record_group


async def test_what_comes_while_a_commit_is_under_way_becomes_one_group_in_order() -> None:
    outbox = Outbox(changes=10, size=100)
    await outbox.put(group(b"a"))
    first = await outbox.take()
    await outbox.put(group(b"b"))
    await outbox.put(group(b"c", b"d"))
    await outbox.done()
    second = await outbox.take()
    assert [entry.key for entry in first.entries["t"]] == [b"a"]
    assert [entry.key for entry in second.entries["t"]] == [b"b", b"c", b"d"]
    assert (second.ack, second.progress.owner, second.changes) == (b"d", "d", 3)
    assert not outbox.empty
    await outbox.done()
    assert outbox.empty


async def test_a_group_that_would_be_too_large_waits() -> None:
    outbox = Outbox(changes=2, size=100)
    await outbox.put(group(b"a", b"b"))
    waiting = asyncio.create_task(outbox.put(group(b"c")))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert (await outbox.take()).changes == 2
    await waiting
    assert (await outbox.take()).changes == 1


async def test_what_came_until_a_commit_begins_may_join_it_where_it_fits() -> None:
    outbox = Outbox(changes=3, size=100)
    await outbox.put(group(b"a"))
    taken = await outbox.take()
    await outbox.join(taken)
    await outbox.put(group(b"b"))
    await outbox.join(taken)
    await outbox.put(group(b"c", b"d"))
    await outbox.join(taken)
    assert [entry.key for entry in taken.entries["t"]] == [b"a", b"b"]
    assert (taken.ack, taken.progress.owner, taken.changes) == (b"b", "b", 2)
    await outbox.done()
    assert not outbox.empty
    assert (await outbox.take()).changes == 2
    await outbox.done()
    assert outbox.empty


async def test_flushed_waits_for_what_was_put_before_and_not_for_more() -> None:
    outbox = Outbox(changes=10, size=100)
    await outbox.put(group(b"a"))
    flushed = asyncio.create_task(outbox.flushed())
    await asyncio.sleep(0)
    await outbox.take()
    await outbox.put(group(b"b"))
    assert not flushed.done()
    await outbox.done()
    await asyncio.wait_for(flushed, WAIT_TIMEOUT_S)
