"""One bridge's log, copied into another log with its registry."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from bridge.capture import control
from bridge.capture.barriers.record import barrier_key
from bridge.capture.checkpoint import store
from bridge.capture.checkpoint.codec import dump, load
from bridge.capture.checkpoint.record import CheckpointRecord, RereadKeys, SnapshotJob
from bridge.config import Config
from bridge.log.copy import Copied, Copying, copy_log
from bridge.log.copying.schema_ids import SchemaIds
from bridge.log.port import Entry, Log, Record, TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.names import change_topic
from bridge.wiring.event_log import make_log, make_registry


async def copy_bridge_log(
    config: Config, target: Config, progress: Callable[[Copying], None] = lambda _: None
) -> Copied:
    """Copy everything of the bridge of `config` into the log of `target`.

    Raises as `bridge.log.copy.copy_log`, RetryLater if one of the logs or registries is
    unavailable.
    """
    async with AsyncExitStack() as stack:
        opened = []
        for side in (config, target):
            log = make_log(side)
            stack.push_async_callback(log.close)
            await log.open()
            registry = make_registry(side, log)
            stack.push_async_callback(registry.close)
            await registry.open()
            opened.append((log, registry))
        (source, source_registry), (sink, sink_registry) = opened
        checkpoints = BridgeCheckpoints(config.bridge, source, sink)
        return await copy_log(
            source,
            source_registry,
            sink,
            sink_registry,
            config.bridge,
            progress,
            translate={store.topic(config.bridge).name: checkpoints.moved},
        )


class BridgeCheckpoints:
    """Checkpoint records name offsets of the control topic and keys by their bytes: both are
    others in the target. They are copied last, when the requests are there.
    """

    def __init__(self, bridge: str, source: Log, target: Log) -> None:
        self._bridge = bridge
        self._logs = source, target
        self._requests: tuple[list[int], list[int], int] | None = None

    async def moved(self, record: Record, ids: SchemaIds) -> Entry:
        """The record as it has to be in the target."""
        if record.value is None or record.key is None:
            return Entry(record.key, record.value, list(record.headers), record.timestamp)
        system = record.key.decode()
        if record.key == barrier_key(system.partition("/")[0]):
            # It names positions, which are the same in the target.
            return Entry(record.key, record.value, list(record.headers), record.timestamp)
        capture_progress = load(record.value, system)
        moved = replace(
            capture_progress,
            control=await self._control(capture_progress),
            jobs=tuple([await self._job(job, system, ids) for job in capture_progress.jobs]),
        )
        return Entry(record.key, dump(moved), list(record.headers), record.timestamp)

    async def _job(self, job: SnapshotJob, system: str, ids: SchemaIds) -> SnapshotJob:
        topic = change_topic(self._bridge, system, job.entity)

        async def framed(keys: frozenset[bytes]) -> frozenset[bytes]:
            moved = [await ids.frame(key, topic, "key") for key in keys]
            return frozenset(key for key in moved if key is not None)

        again = tuple([RereadKeys(part.after, await framed(part.keys)) for part in job.rereads])
        return replace(job, rereads=again, spared=await framed(job.spared))

    async def _control(self, capture_progress: CheckpointRecord) -> int:
        if self._requests is None:
            source, target = self._logs
            control_partition = control.partition(self._bridge)
            theirs, _ = await _offsets(source, control_partition)
            ours, end = await _offsets(target, control_partition)
            self._requests = theirs, ours, end
        return next_request(capture_progress.control, *self._requests)


def next_request(control: int, source: list[int], target: list[int], end: int) -> int:
    """The target's offset of the first request that isn't taken up yet. Pure.

    `source` and `target`: offsets of the same requests in both, of which the source may lack the
    oldest; `end` one past the target's last.
    """
    open_ = sum(offset >= control for offset in source)
    return target[-open_] if open_ else end


async def _offsets(log: Log, partition: TopicPartition) -> tuple[list[int], int]:
    """The offsets of all records of a small partition, and its end."""
    if partition.topic not in await log.topics():
        return [], 0
    ends = await log.end_offsets([partition])
    batches = read_to_end(log, await log.beginning_offsets([partition]), ends)
    offsets = [record.offset async for records in batches for record in records]
    return offsets, ends[partition]
