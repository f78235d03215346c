"""The source: pgoutput over logical replication, one slot, bounded memory.

Reading is pulled: what `read` doesn't take stays in the socket, and the server waits. What keeps
the connection alive meanwhile are status updates from a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import psycopg

from bridge.closing import close_all
from bridge.connector import Batch, Checkpoint, Shape, System
from bridge.model.errors import BridgeError, RetryLater
from connectors.postgres.capture.feedback import StandbyFeedback
from connectors.postgres.capture.liveness import ServerLiveness
from connectors.postgres.capture.periodic_tasks import PeriodicTasks
from connectors.postgres.capture.relation_shapes import RelationShapes
from connectors.postgres.capture.slot import SlotCheckpoint, decide, load, start_replication
from connectors.postgres.capture.table_bindings import TableBindings
from connectors.postgres.options import options_of, slot_name
from connectors.postgres.protocol.frames import Frames, RelationMessage
from connectors.postgres.transport.control_connection import ControlConnection
from connectors.postgres.transport.copy_connection import CopyConnection

#: A batch holds about so many bytes of frames, whatever `limit` says: memory is bounded by it.
BATCH_BYTES = 8 << 20
#: Frames taken from libpq at a time, and decoded together.
_FRAMES_PER_TAKE = 2000
#: Seconds between status updates that ask the server for an answer; less where its
#: wal_sender_timeout (60 s by default) is short.
_STATUS_INTERVAL_S = 10.0
#: How long an answer may take where wal_sender_timeout is off. Else as long as that: the server
#: expects as much of us.
_ANSWER_TIMEOUT_S = 60.0
_SLOT_POLL_S = 0.25
_IN_USE = "55006"
_UNDEFINED_OBJECT = "42704"

_XLOG, _RELATION = 0x77, 0x52

T = TypeVar("T")


class PostgresSource:
    """`bridge.connector.Source` over one replication slot.

    `clock`: seconds since 1970, for status updates only.
    """

    def __init__(self, system: System, clock: Callable[[], float]) -> None:
        self._system = system
        self._options = options_of(system)
        self._slot = slot_name(system)
        self._stream_connection: CopyConnection | None = None
        self._control: ControlConnection | None = None
        self._shapes: RelationShapes | None = None
        self._bindings: TableBindings | None = None
        self._frames = Frames(self._shape_of)
        self._identifier = ""
        self._sender_timeout = 0.0
        self._binary = True
        self._feedback = StandbyFeedback(clock)
        self._liveness = ServerLiveness()
        self._background = PeriodicTasks()

    async def open(self, after: Checkpoint | None) -> Checkpoint:
        """Begin after `after`, or (None) at the slot's consistent point; see `Source.open`."""
        try:
            return await self._open(None if after is None else load(after))
        except BaseException:
            await self.close()
            raise

    async def _open(self, resume: SlotCheckpoint | None) -> Checkpoint:
        self._control = await ControlConnection.open(self._system)
        self._shapes = RelationShapes(self._system, self._control.catalog)
        self._binary = await self._shapes.load()
        await self._control.covers(self._options.publication, self._shapes.tables)
        self._bindings = TableBindings(self._system, self._control.connection)
        self._bindings.resume(resume.tables if resume is not None else {})
        begin = await self._start(resume)
        await self._bindings.look_up()
        if self._bindings.waits:
            await self._control.heartbeat()  # as in `_beat`
        begin = replace(begin, tables=dict(self._bindings.current))
        interval_s = min(_STATUS_INTERVAL_S, self._sender_timeout / 4 or _STATUS_INTERVAL_S)
        self._background.start("postgres status updates", interval_s, self._request_reply)
        self._background.start("postgres heartbeats", self._options.heartbeat, self._beat)
        return begin.dump()

    async def read(self, limit: int, timeout: float) -> Batch:
        """Up to `limit` changes, or about `BATCH_BYTES`; see `Source.read`."""
        batch = Batch([], b"", 0)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        room = BATCH_BYTES
        while True:
            self._background.raise_failure()
            taken = await self._take(batch, min(limit - len(batch.changes), _FRAMES_PER_TAKE), room)
            room -= taken
            has_events = batch.changes or batch.watermarks or batch.truncates
            if len(batch.changes) >= limit or room <= 0 or (has_events and not taken):
                break
            if taken:
                continue
            now = loop.time()
            batch.silent = self._liveness.silent_for(now)
            timeout_s = (self._sender_timeout or _ANSWER_TIMEOUT_S) - batch.silent
            if timeout_s <= 0:
                raise self._silent(batch.silent)
            if deadline <= now:
                break
            await self._require(self._stream_connection).readable(min(deadline - now, timeout_s))
        lsn, _ = self._frames.position()
        batch.stale = self._require(self._bindings).passed(lsn)
        batch.checkpoint = self._resume().dump(self._require(self._bindings).text)
        # The next transaction's commit record may begin at `lsn` itself.
        batch.commit = lsn - 1
        batch.troubles = {
            **self._require(self._shapes).troubles,
            **self._require(self._bindings).troubles,
        }
        batch.lag_bytes = max(
            0, max(self._frames.received, self._require(self._control).wal_end) - lsn
        )
        return batch

    async def ack(self, upto: Checkpoint) -> None:
        """Confirm what is durable in the log, never beyond what was received."""
        self._background.raise_failure()
        if self._feedback.reach(load(upto).lsn, self._frames.received):
            await self._send_feedback()

    async def write_watermark(self, name: str) -> None:
        """Write a watermark; it needs no table and no grant."""
        self._background.raise_failure()
        await self._require(self._control).watermark(name)

    async def close(self) -> None:
        """Stop. Never raises for a lost connection, and doesn't wait for the server."""
        connection, control = self._stream_connection, self._control
        self._stream_connection = self._control = None
        await close_all(
            control.close if control is not None else None,
            self._background.close,
            connection.close if connection is not None else None,
        )

    # -- beginning ---------------------------------------------------------------------

    async def _start(self, resume: SlotCheckpoint | None) -> SlotCheckpoint:
        control = self._require(self._control)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.slot_wait
        while True:
            server = await control.server()
            self._identifier, self._sender_timeout = server.identifier, server.sender_timeout
            slot = await control.slot(self._slot)
            step = decide(slot, resume, server, self._slot, self._system.name)
            if step == "create":
                await control.create_slot(self._slot)
                continue
            holder = slot.active_pid if slot is not None else None
            if step == "start" and slot is not None:
                begin = resume or SlotCheckpoint(slot.confirmed or 0, 0, server.identifier)
                if await self._stream(begin):
                    self._feedback.already_confirmed(slot.confirmed or 0)
                    return begin
            if loop.time() >= deadline:
                raise RetryLater(
                    f"system {self._system.name!r}: replication slot {self._slot!r} is still in use"
                    f"{f' by server process {holder}' if holder else ''} after "
                    f"{self._options.slot_wait:g} s: another bridge reads it; stop that one, or see "
                    "SELECT * FROM pg_stat_replication"
                )
            await asyncio.sleep(min(_SLOT_POLL_S, max(0.0, deadline - loop.time())))

    async def _stream(self, begin: SlotCheckpoint) -> bool:
        """Start replication; False when the slot is in use."""
        connection = await CopyConnection.open(self._system, "source", replication=True)
        try:
            await connection.start_copy(
                start_replication(
                    self._slot, self._options.publication, begin.lsn, binary=self._binary
                )
            )
        except psycopg.Error as error:
            await connection.close()
            if error.sqlstate == _IN_USE and "active for PID" in str(error):
                return False
            raise self._require(self._control).refused(error, self._slot, begin) from None
        except BaseException:
            await connection.close()
            raise
        self._stream_connection = connection
        self._liveness.note_arrival()
        received = max(self._frames.received, begin.lsn)
        self._frames = Frames(self._shape_of)
        self._frames.resume(begin.lsn, begin.steps)
        self._frames.received = received
        return True

    # -- reading -----------------------------------------------------------------------

    async def _take(self, batch: Batch, count: int, room: int) -> int:
        """Take and decode what has arrived; returns the bytes taken."""
        connection = self._require(self._stream_connection)
        frames: list[memoryview] = []
        try:
            alive = connection.take(frames, count, room)
            if not alive and not frames:
                await connection.end_copy()
                raise RetryLater(f"{self._system_text}: the server ended the stream; reconnecting")
        except psycopg.Error as error:
            raise await self._broke_off(connection, error) from None
        if not frames:
            return 0
        self._liveness.note_arrival()
        batch.silent = 0.0
        await self._decode(frames, batch)
        if self._frames.reply:
            self._frames.reply = False
            await self._send_feedback()
        return sum(map(len, frames))

    async def _broke_off(self, connection: CopyConnection, error: psycopg.Error) -> BridgeError:
        """What the end of the stream means."""
        if error.sqlstate == _UNDEFINED_OBJECT:
            lost = await self._require(self._control).slot_before_publication(
                self._slot, self._options.publication
            )
            if lost is not None:
                return lost
        return connection.lost(error, "the replication stream broke off")

    async def _decode(self, frames: list[memoryview], batch: Batch) -> None:
        shapes = self._require(self._shapes)
        relations = [f for f in frames if f[0] == _XLOG and f[25] == _RELATION]
        text = False
        if relations:
            text = await shapes.learn(relations)
            self._require(self._bindings).renamed(shapes.unconfigured)
        if text and self._binary:
            # A type that can only be decoded from its text came up: begin here again, in text.
            self._binary = False
            await self._restart()
            return
        self._frames.feed(frames, batch)

    async def _restart(self) -> None:
        begin = self._resume()
        connection, self._stream_connection = self._stream_connection, None
        if connection is not None:
            await connection.close()
        await self._start(begin)

    def _shape_of(self, relation: RelationMessage) -> Shape | None:
        return self._require(self._shapes).of(relation)

    def _resume(self) -> SlotCheckpoint:
        lsn, steps = self._frames.position()
        return SlotCheckpoint(lsn, steps, self._identifier, self._require(self._bindings).current)

    # -- keeping alive -----------------------------------------------------------------

    async def _send_feedback(self) -> None:
        await self._feedback.report(self._stream_connection)

    async def _request_reply(self) -> None:
        self._liveness.note_request(asyncio.get_running_loop().time())
        await self._feedback.report(self._stream_connection, ask=True)

    def _silent(self, seconds: float) -> RetryLater:
        return RetryLater(
            f"{self._system_text}: the server has sent nothing for {seconds:.0f} s, although it was asked "
            "to: it hangs, or the network loses its messages; reconnecting"
        )

    async def _beat(self) -> None:
        """A heartbeat, and whether the tables are still the same."""
        control, bindings = self._require(self._control), self._require(self._bindings)
        await control.heartbeat()
        tables = await bindings.look_up()
        if not self._require(self._shapes).knows(tables):
            raise RetryLater(
                f"{self._system_text}: a configured name leads to a table that wasn't there before; "
                "reconnecting"
            )
        if bindings.waits:
            # So that the stream passes the LSN at which they were looked up.
            await control.heartbeat()

    # -- state -------------------------------------------------------------------------

    @property
    def _system_text(self) -> str:
        return f"system {self._system.name!r} ({self._system.shown_url})"

    def _require(self, part: T | None) -> T:
        """A part of an open source."""
        if part is None:
            raise RetryLater(f"{self._system_text}: the source is not open")
        return part


__all__ = ["BATCH_BYTES", "PostgresSource"]
