"""What a copy makes of checkpoint records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bridge.capture.barriers.record import BarrierRecord, barrier_key
from bridge.capture.barriers.record import dump as dump_barrier
from bridge.capture.checkpoint.codec import dump, load
from bridge.capture.checkpoint.record import CheckpointRecord, RereadKeys, SnapshotJob
from bridge.log.copying.schema_ids import SchemaIds
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Record
from bridge.log.registry.embedded import EmbeddedRegistry
from bridge.model import framing
from bridge.model.avro import key_schema, schema_text
from bridge.model.types import Entity, Field, parse_type
from bridge.wiring.copy_log import BridgeCheckpoints

ORDER = Entity("erp", "order", ("no",), (Field("no", parse_type("string")),))
SUBJECT = "acme.erp.order-key"


@asynccontextmanager
async def side(path: Path) -> AsyncIterator[tuple[EmbeddedLog, EmbeddedRegistry]]:
    """A log and its registry, opened."""
    log = EmbeddedLog(path, compact_every=None)
    await log.open()
    registry = EmbeddedRegistry(log, "acme")
    await registry.open()
    try:
        yield log, registry
    finally:
        await registry.close()
        await log.close()


async def test_keys_in_jobs_under_way_become_the_targets(tmp_path: Path) -> None:
    """A reconcile spares rows that became no record by their keys: with the old bytes it would
    delete them.
    """
    async with side(tmp_path / "a.db") as (source, theirs), side(tmp_path / "b.db") as (log, ours):
        text = schema_text(key_schema(ORDER))
        await ours.register("acme.erp.other-value", '"string"')
        old = framing.header(await theirs.register(SUBJECT, text))
        new = framing.header(await ours.register(SUBJECT, text))
        assert old != new
        job = SnapshotJob(
            "1", "order", reconcile=True, since="p", spared=frozenset({old + b"\x02a"}),
            rereads=(RereadKeys(("x",), frozenset({old + b"\x02b"})),),
        )  # fmt: skip
        record = Record("_acme.positions", 0, 0, 0, b"erp", dump(CheckpointRecord(jobs=(job,))), ())
        moved = await BridgeCheckpoints("acme", source, log).moved(
            record, SchemaIds(theirs, ours, "acme")
        )
    [moved_job] = load(moved.value or b"", "erp").jobs
    assert moved_job.spared == {new + b"\x02a"}
    assert moved_job.rereads == (RereadKeys(("x",), frozenset({new + b"\x02b"})),)


async def test_a_barriers_record_is_copied_as_it_is(tmp_path: Path) -> None:
    """It is beside the checkpoint, and was taken for one."""
    async with side(tmp_path / "a.db") as (source, theirs), side(tmp_path / "b.db") as (log, ours):
        value = dump_barrier(BarrierRecord(1, 1, "0001-0000000000000002-0000000000", ("b-1",)))
        record = Record("_acme.positions", 0, 0, 7, barrier_key("erp"), value, ())
        moved = await BridgeCheckpoints("acme", source, log).moved(
            record, SchemaIds(theirs, ours, "acme")
        )
    assert (moved.key, moved.value) == (barrier_key("erp"), value)
