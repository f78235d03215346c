# cython: annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""Replication frames of pgoutput (protocol version 1, binary values, messages on) to changes.

One pass over the frames that a connection returned; no I/O. The file runs interpreted as it
stands, and compiled with the C types of `frames.pxd`. Sources:
https://www.postgresql.org/docs/15/protocol-replication.html and
https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bridge.connector import Batch, Change, Shape, SourceTransaction, Truncate, Watermark
from bridge.model.errors import HistoryLost, RetryLater

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.
    from bridge.plan import uncompiled as cython


COMPILED: bool = bool(cython.compiled)

#: Prefixes of logical messages: a command's id (transactional), a watermark's name and a
#: heartbeat (not transactional).
COMMAND, WATERMARK, HEARTBEAT = "bridge.command", "bridge.watermark", "bridge.heartbeat"

_COMMAND, _WATERMARK = COMMAND.encode(), WATERMARK.encode()
#: More than any command's id or watermark's name has.
MAX_MESSAGE_BYTES = 1000

#: Microseconds from 1970 to PostgreSQL's epoch, 2000-01-01 UTC.
EPOCH_2000 = 946_684_800_000_000


class RelationMessageColumn(NamedTuple):
    """A column as a Relation message describes it; `key`: part of the replica identity."""

    name: str
    type_oid: int
    typmod: int
    key: bool


class RelationMessage(NamedTuple):
    """A Relation message. `identity` is the replica identity: d(efault), n(othing), f(ull), i(ndex)."""

    oid: int
    namespace: str
    name: str
    identity: str
    columns: tuple[RelationMessageColumn, ...]


if not cython.compiled:
    # The compiled form has these in C.
    from bridge.plan.native import (
        as_class,
        bytes_of,
        load_i32,
        load_i64,
        load_u16,
        load_u32,
        load_u64,
        part,
        pointer,
    )


class Frames:
    """Decodes the frames of one replication stream, in order; holds the stream's state.

    `shape_of` is called with each new or changed Relation and returns the table's Shape, or None
    for a table that isn't wanted: its changes are skipped, and still counted in `Change.index`.
    An unchanged Relation that the server sends again keeps its Shape.

    Not safe for use by two threads at once. A frame that can't be decoded raises RetryLater:
    the stream is broken, a new connection from the checkpoint fixes it.
    """

    def __init__(self, shape_of: Callable[[RelationMessage], Shape | None]) -> None:
        self.shape_of = shape_of
        self.relations: dict[int, RelationMessage] = {}
        self.shapes: dict[int, Shape | None] = {}
        #: End of what the server has sent or announced; a confirmed position never exceeds it.
        self.received: int = 0
        #: The server asked for a status update at once; the caller answers and clears it.
        self.reply: bool = False
        #: Commit position up to which everything has been fed (Batch.commit).
        self.committed: int = 0
        #: Whether the last fed frame left a transaction open.
        self.inside: bool = False
        self.lsn: int = 0
        self.steps: int = 0
        self.resume_at: int = 0
        self.skip: int = 0
        # The table of the change before, because changes of one table come in a row.
        self.last_oid: int = 0
        self.last_shape: Shape | None = None
        self.transaction: Any = None
        self.causation: Any = None

    def resume(self, lsn: int, steps: int) -> None:
        """The stream starts at `lsn`; with `steps`, leave out so many steps of the transaction
        whose commit record stands there. Both as `position` returned them. Call before `feed`.
        """
        self.lsn = lsn
        self.committed = lsn
        self.resume_at = lsn if steps else 0
        self.skip = steps

    def position(self) -> tuple[int, int]:
        """Where to resume after everything that was fed: the LSN to start replication from, and
        how many steps (changes and truncates) of the transaction that commits there are done.
        """
        if self.skip:
            # What was decoded before comes again and isn't through: there is nothing new yet.
            return self.resume_at, self.skip
        return self.lsn, self.steps if self.inside else 0

    def feed(self, frames: Sequence[bytes | memoryview], batch: Batch) -> None:
        """Decode XLogData and keep-alive frames as `get_copy_data` returns them, appending to
        the batch's changes, watermarks and truncates. Its checkpoint and commit are the caller's.

        Raises HistoryLost when the transaction to resume in isn't there, RetryLater for a frame
        that isn't what the protocol says.
        """
        changes = batch.changes
        try:
            for frame in frames:
                self._frame(bytes_of(frame), batch, changes)
        except (IndexError, KeyError, ValueError) as error:
            raise RetryLater(
                "the replication stream sent a frame that can't be decoded "
                f"({type(error).__name__}: {error}); reconnecting from the checkpoint fixes a "
                "damaged stream"
            ) from error

    def _frame(self, data: bytes, batch: Batch, changes: list[Change]) -> None:
        p = pointer(data)
        size = len(data)
        kind = p[0]
        if kind == 0x6B:  # k: keep-alive
            self._need(size, 18)
            end = load_u64(p, 1)
            self.received = max(self.received, end)
            if p[17]:
                self.reply = True
            # Everything that commits before `end` has been sent, unless one is being sent now.
            if not self.inside:
                self._passed(end)
            return
        if kind != 0x77:  # w: XLogData
            raise KeyError(f"frame of type {kind:#x}")
        self._need(size, 26)
        end = load_u64(p, 9)
        start = load_u64(p, 1)
        self.received = max(self.received, start, end)
        self._message(data, size, batch, changes)

    def _need(self, size: int, wanted: int) -> None:
        if size < wanted:
            raise IndexError(f"{size} bytes where {wanted} are needed")

    def _passed(self, lsn: int) -> None:
        if lsn > self.lsn and not self.skip:
            self.lsn = lsn
        self.committed = max(self.committed, lsn)

    def _message(self, data: bytes, size: int, batch: Batch, changes: list[Change]) -> None:
        p = pointer(data)
        kind = p[25]
        if kind == 0x49 or kind == 0x55 or kind == 0x44:  # noqa: PLR1714 - I, U, D; C comparisons
            self._change(data, size, changes, kind)
        elif kind == 0x42:  # B: Begin
            self._need(size, 46)
            self._begin(load_u64(p, 26), load_i64(p, 34), load_u32(p, 42))
        elif kind == 0x43:  # C: Commit
            self._need(size, 51)
            self.inside = False
            self.received = max(self.received, load_u64(p, 35))
            self._commit(load_u64(p, 27), load_u64(p, 35))
        elif kind == 0x52:  # R: Relation
            self._relation(data, size)
        elif kind == 0x4D:  # M: logical message
            self._logical(data, size, batch)
        elif kind == 0x54:  # T: Truncate
            self._truncate(data, size, batch)
        elif kind != 0x4F and kind != 0x59:  # noqa: PLR1714 - O(rigin), Y (type) have nothing needed
            raise KeyError(f"message of type {kind:#x}")

    def _begin(self, lsn: int, committed_at: int, xid: int) -> None:
        if self.skip and lsn != self.resume_at:
            raise HistoryLost(
                f"the checkpoint is inside the transaction that commits at {text_of(self.resume_at)}, "
                f"but the slot now begins with the one that commits at {text_of(lsn)}: run "
                "`bridgectl snapshot` with --reconcile for this system's entities, which closes the gap"
            )
        self.inside = True
        self.lsn = lsn
        self.steps = 0
        self.causation = None
        self.transaction = SourceTransaction(str(xid), lsn, committed_at + EPOCH_2000, xid)

    def _commit(self, lsn: int, end: int) -> None:
        self.skip = 0
        self.steps = 0
        self.causation = None
        self.lsn = end
        # `committed` counts commit records, as positions do; `end` only says where the next begins.
        self.committed = max(self.committed, lsn)

    def _step(self) -> bool:
        """Count a step of the open transaction; whether it is new."""
        if not self.inside:
            raise KeyError("a change outside of a transaction")
        self.steps += 1
        if self.skip:
            if self.steps <= self.skip:
                return False
            self.skip = 0
        return True

    def _change(self, data: bytes, size: int, changes: list[Change], kind: int) -> None:
        self._need(size, 31)
        p = pointer(data)
        is_new = self._step()
        oid = load_u32(p, 26)
        if oid != self.last_oid:
            self.last_shape = self.shapes[oid]
            self.last_oid = oid
        shape = self.last_shape
        if not is_new or shape is None:
            return
        tag = p[30]
        at = 31
        old: Any = None
        new: Any = None
        full = False
        if tag == 0x4B or tag == 0x4F:  # noqa: PLR1714 - K(ey), O(ld)
            full = tag == 0x4F
            end = tuple_end(p, at, size)
            old = part(data, at, end)
            at = end
            if kind == 0x55:
                self._need(size, at + 1)
                tag = p[at]
                at += 1
        if kind != 0x44:
            if tag != 0x4E:
                raise KeyError(f"tuple of type {tag:#x}")
            new = part(data, at, tuple_end(p, at, size))
        op = 1 if kind == 0x49 else (2 if kind == 0x55 else 3)
        slots = (shape, op, old, full, new, self.steps - 1, self.transaction, self.causation)
        changes.append(as_class(Change, slots))

    def _relation(self, data: bytes, size: int) -> None:
        self._need(size, 30)
        p = pointer(data)
        oid = load_u32(p, 26)
        namespace, at = string_at(data, 30)
        name, at = string_at(data, at)
        self._need(size, at + 3)
        identity = chr(p[at])
        count = load_u16(p, at + 1)
        at += 3
        columns = []
        for _ in range(count):
            self._need(size, at + 1)
            key = (p[at] & 1) == 1
            column, at = string_at(data, at + 1)
            self._need(size, at + 8)
            columns.append(RelationMessageColumn(column, load_u32(p, at), load_i32(p, at + 4), key))
            at += 8
        relation = RelationMessage(oid, namespace or "pg_catalog", name, identity, tuple(columns))
        if self.relations.get(oid) != relation:
            self.last_oid = 0
            self.shapes[oid] = self.shape_of(relation)
            self.relations[oid] = relation

    def _logical(self, data: bytes, size: int, batch: Batch) -> None:
        self._need(size, 36)
        p = pointer(data)
        transactional = (p[26] & 1) == 1
        lsn = load_u64(p, 27)
        end = data.index(b"\0", 35)
        prefix = data[35:end]
        at = end + 1
        self._need(size, at + 4)
        length = load_i32(p, at)
        self._need(size, at + 4 + length)
        content = data[at + 4 : at + 4 + length]
        if transactional:
            if prefix == _COMMAND:
                self.causation = message_text(content) or self.causation
            return
        if prefix == _WATERMARK:
            name = message_text(content)
            if name is not None:
                # `lsn` is the message's end, where the next commit record may begin.
                batch.watermarks.append(Watermark(len(batch.changes), name, lsn - 1))
        if not self.inside:
            self._passed(lsn)

    def _truncate(self, data: bytes, size: int, batch: Batch) -> None:
        self._need(size, 31)
        p = pointer(data)
        is_new = self._step()
        count = load_i32(p, 26)
        self._need(size, 31 + 4 * count)
        tables = []
        for index in range(count):
            shape = self.shapes[load_u32(p, 31 + 4 * index)]
            if shape is not None:
                tables.append(shape.table)
        if is_new and tables:
            batch.truncates.append(Truncate(len(batch.changes), tuple(tables), self.transaction))


def tuple_end(p: bytes, at: int, size: int) -> int:
    """The end of a TupleData that begins at `at`. Raises IndexError when it is cut off."""
    if at + 2 > size:
        raise IndexError("a row is cut off")
    count = load_u16(p, at)
    at += 2
    for _ in range(count):
        if at >= size:
            raise IndexError("a row is cut off")
        kind = p[at]
        at += 1
        if kind == 0x62 or kind == 0x74:  # noqa: PLR1714 - b(inary), t(ext)
            if at + 4 > size:
                raise IndexError("a row is cut off")
            length = load_i32(p, at)
            if length < 0 or length > size - at - 4:
                raise IndexError("a row is cut off")
            at += 4 + length
        elif kind != 0x6E and kind != 0x75:  # noqa: PLR1714 - n(ull), u(nchanged)
            raise IndexError("a column of unknown kind")
    return at


def string_at(data: bytes, at: int) -> tuple[str, int]:
    """The text up to the next zero byte, and where the next thing begins. A name of a database
    without an encoding may hold any bytes, of a table that nobody asked for, too.
    """
    end = data.index(b"\0", at)
    return data[at:end].decode("utf-8", "replace"), end + 1


def message_text(content: bytes) -> str | None:
    """A command's id or a watermark's name; None for what is neither: whoever may log in may write
    a message with the bridge's prefix.
    """
    if len(content) > MAX_MESSAGE_BYTES:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def text_of(lsn: int) -> str:
    """An LSN as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
