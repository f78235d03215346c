# cython: annotation_typing=False, boundscheck=False, wraparound=False, cdivision=True
"""Executes plans: raw rows in, Avro keys and values with their headers out, in one pass.

The file runs interpreted as it stands, and compiled with the C types of `execute.pxd`. The quick
ways in here write what they are sure of and leave every other value to the general way of
`convert.py`, which also knows every error: so both forms give the same.

Not safe for use by two threads at once: each RowEncoder has one buffer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from bridge.model import headers
from bridge.model.avro import OPS
from bridge.model.canonical import instant_text
from bridge.model.errors import RowError
from bridge.model.framing import header
from bridge.model.position import MAX_COMMIT, MAX_EPOCH, MAX_NUMBER, format_position
from bridge.plan.failed_row import FailedRow, RowTooLarge, oversized, raw_text, row_error
from bridge.plan.fast_paths import FastPaths
from bridge.plan.steps import MISSING, Plan, Wire

try:
    import cython
except ImportError:  # Cython is needed to compile this file, never to run it.
    from bridge.plan import uncompiled as cython


if not cython.compiled:
    # The compiled form has these in C.
    from bridge.plan.native import (
        copy,
        exact_type,
        larger,
        lifted,
        load_i16,
        load_i32,
        load_i64,
        load_u16,
        load_u32,
        murmur2,
        numbers,
        part,
        pointer,
        power,
        put_double,
        release,
        slot,
        space,
        taken,
        text_bytes,
        unzigzag,
        utf8,
        zigzag,
    )
    from bridge.plan.opcodes import (
        AS_BINARY,
        AS_OBJECT,
        AS_TEXT,
        AWAY,
        BOOL,
        BYTES,
        DATE,
        DECIMAL,
        DROP,
        FLOAT4,
        FLOAT8,
        INT,
        JSONB,
        MEMO,
        MOMENT,
        NULL,
        NUMERIC,
        OID,
        PYBOOL,
        PYBYTES,
        PYDATE,
        PYDECIMAL,
        PYFLOAT,
        PYINT,
        PYMOMENT,
        PYTEXT,
        SLOW,
        TEXT,
        TIME,
        UUID,
    )

#: Whether this is the compiled form.
COMPILED: bool = bool(cython.compiled)

#: How many results of pure transforms one field remembers.
MAX_REMEMBERED_RESULTS = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cells:
    """One raw row and where its columns are: a start, a size (or NULL, AWAY) and a form each."""

    def __init__(self, count: int, wire: Wire) -> None:
        self.count = count
        self.wire = {Wire.PGOUTPUT: 0, Wire.PGCOPY: 1, Wire.PYTHON: 2}[wire]
        self.starts = numbers(count)
        self.sizes = numbers(count)
        self.forms = numbers(count)
        self.data = b""
        self.row: Any = ()

    def __dealloc__(self) -> None:
        release(self.starts)
        release(self.sizes)
        release(self.forms)

    def fill(self, raw: Any) -> int:
        """Find the columns. Raises RowError when the row isn't one of this shape."""
        if self.wire == 2:
            if not isinstance(raw, tuple) or len(raw) != self.count:
                raise RowError(f"the raw row isn't a tuple of {self.count} values", step="frame")
            self.row = raw
            for index in range(self.count):
                value = slot(raw, index)
                self.forms[index] = AS_OBJECT
                self.sizes[index] = NULL if value is None else (AWAY if value is MISSING else 0)
            return 0
        self.data = raw if type(raw) is bytes else bytes(raw)
        p = pointer(self.data)
        size = len(self.data)
        if size < 2 or load_u16(p, 0) != self.count:
            column_count = load_u16(p, 0) if size >= 2 else 0
            raise RowError(
                f"the raw row has {column_count} columns where its shape has {self.count}",
                step="frame",
            )
        at = 2
        for index in range(self.count):
            self.forms[index] = AS_BINARY
            if self.wire == 0:
                kind = p[at] if at < size else 0
                at += 1
                if kind == 0x6E or kind == 0x75:  # noqa: PLR1714 - n, u; C comparisons
                    self.sizes[index] = NULL if kind == 0x6E else AWAY
                    continue
                if kind == 0x74:
                    self.forms[index] = AS_TEXT
                elif kind != 0x62:
                    raise RowError("the raw row is cut off or no pgoutput row", step="frame")
            if at + 4 > size:
                raise RowError("the raw row is cut off", step="frame")
            length = load_i32(p, at)
            at += 4
            if length < 0:
                self.sizes[index] = NULL
                continue
            if length > size - at:
                raise RowError("the raw row is cut off", step="frame")
            self.starts[index] = at
            self.sizes[index] = length
            at += length
        return 0

    def content(self, index: int) -> Any:
        """The content of a column that is there."""
        if self.wire == 2:
            return slot(self.row, index)
        start = self.starts[index]
        return part(self.data, start, start + self.sizes[index])


class RowEncoder:
    """Executes one plan for one change topic.

    `bridge` the bridge's name; the schema ids those of the topic's subjects; `partitions` of the
    topic; a record (key, value and headers) over `max_record_bytes` is refused; `mask_key` for
    `mask: hash`. Raises ConfigurationError when a step can't be carried out.
    """

    def __init__(  # noqa: PLR0917
        self,
        plan: Plan,
        bridge: str,
        key_schema_id: int,
        value_schema_id: int,
        partitions: int,
        max_record_bytes: int = 900_000,
        mask_key: bytes | None = None,
    ) -> None:
        ways = FastPaths(plan, mask_key)
        self.plan = plan
        self.partitions = partitions
        self.max_record_bytes = max_record_bytes
        self.key_header = header(key_schema_id)
        self.value_header = header(value_schema_id)
        self._set_fields(plan, ways)
        self._set_headers(plan, bridge)
        self.size = 4096
        self.at = 0
        self.buffer = space(self.size)
        self.new_row = Cells(len(plan.columns), plan.wire)
        self.old_row = Cells(len(plan.columns), plan.wire)
        self.away: list[bytes] = []
        self.epoch = 0
        self.captured_at = 0
        self.timestamp = 0
        self.transaction: Any = None
        self.commit = 0
        self.tail = b""
        self.time_header: Any = None
        self.causation: Any = None
        self.causation_header: Any = None

    def __dealloc__(self) -> None:
        release(self.quick)
        release(self.first)
        release(self.is_key)
        release(self.trims)
        release(self.zeros)
        release(self.digits)
        release(self.scales)
        release(self.keys_at)
        release(self.same)
        release(self.buffer)

    def _set_fields(self, plan: Plan, ways: FastPaths) -> None:
        count = len(plan.steps)
        self.count = count
        self.key_count = len(ways.key)
        self.quick = numbers(count)
        self.first = numbers(count)
        self.is_key = numbers(count)
        self.trims = numbers(count)
        self.zeros = numbers(count)
        self.digits = numbers(count)
        self.scales = numbers(count)
        self.keys_at = numbers(self.key_count)
        self.same = numbers(self.key_count)
        self.converts: list[Any] = ways.converts
        self.encodes: list[Any] = ways.encodes
        self.key_encodes: list[Any] = ways.key_encodes
        self.columns: list[Any] = [step.columns for step in plan.steps]
        self.memos: list[Any] = [{} for _ in plan.steps]
        self.names: list[Any] = [step.field.encode() for step in plan.steps]
        for index, step in enumerate(plan.steps):
            self.quick[index] = ways.quick[index]
            self.first[index] = step.columns[0] if step.columns else -1
            self.is_key[index] = 1 if step.field in plan.entity.key else 0
            self.trims[index] = 1 if ways.trims[index] else 0
            self.zeros[index] = ways.zeros[index]
            self.digits[index] = min(step.target.precision, 18)
            self.scales[index] = step.target.scale
        for position, index in enumerate(ways.key):
            self.keys_at[position] = index
            self.same[position] = 1 if ways.same[position] else 0

    def _set_headers(self, plan: Plan, bridge: str) -> None:
        entity = plan.entity
        self.specversion = (headers.SPECVERSION, headers.SPECVERSION_1_0)
        self.source = (headers.SOURCE, headers.event_source(bridge, entity.system).encode())
        self.content_type = (headers.CONTENT_TYPE, headers.AVRO)
        self.types: list[Any] = [
            (headers.TYPE, headers.event_type(bridge, entity.system, entity.name, op).encode())
            for op in OPS
        ]
        self.id_name = headers.ID
        self.id_prefix = headers.event_id(entity.system, "").encode()
        fixed = [self.specversion, self.source, self.content_type, self.types[1]]
        names = (headers.ID, headers.TIME)
        # `create`, `update`, `delete` are of one length; time and id are of fixed length.
        self.headers_size = (
            sum(len(name) + len(value) for name, value in fixed)
            + sum(map(len, names))
            + len(self.id_prefix)
            + 32
            + len("2026-01-31T10:00:00.000000Z")
        )

    # -- what callers use --------------------------------------------------------------------

    def changes(
        self, changes: Iterable[Any], epoch: int, captured_at_us: int, out: list[Any]
    ) -> list[FailedRow]:
        """Append the entries of these changes, all of this plan's shape, to `out`, in order.

        An entry is (key, value, headers, timestamp in ms, partition); a delete has two (the
        second a tombstone), a changed key three. What failed is returned and has none.
        """
        self._begin(epoch, captured_at_us)
        failures: list[FailedRow] = []
        for change in changes:
            if not isinstance(change, tuple) or len(change) != 8:
                raise TypeError("a change is a tuple of the eight slots of bridge.connector.Change")
            index = slot(change, 5)
            kept = len(out)
            try:
                self._change(change, 2 * index, out)
            except Exception as error:  # noqa: BLE001 - one row's, whatever it is
                del out[kept:]
                failed = self._without_old(change, 2 * index, out, row_error(error))
                if failed is not None:
                    failures.append(self._failure(change, 2 * index, failed))
        return failures

    def rows(  # noqa: PLR0917
        self,
        rows: Iterable[Any],
        epoch: int,
        commit: int,
        first_number: int,
        captured_at_us: int,
        out: list[Any],
    ) -> list[FailedRow]:
        """Append an entry with op `read` for each raw row of a snapshot; numbers run on."""
        self._begin(epoch, captured_at_us)
        transaction = (None, commit, None, 0)
        failures: list[FailedRow] = []
        number = first_number
        for raw in rows:
            change = (None, 4, None, False, raw, 0, transaction, None)
            try:
                self._change(change, number, out)
            except Exception as error:  # noqa: BLE001 - one row's, whatever it is
                failures.append(self._failure(change, number, row_error(error)))
            number += 1
        return failures

    def deletes(  # noqa: PLR0917
        self,
        keys: Iterable[bytes],
        epoch: int,
        commit: int,
        first_number: int,
        captured_at_us: int,
        out: list[Any],
    ) -> None:
        """Append a delete and its tombstone for each framed key whose row is known to be gone
        (a snapshot that reconciles); numbers run on.
        """
        self._begin(epoch, captured_at_us)
        self._set_transaction((None, commit, None, 0), None)
        number = first_number
        for key in keys:
            self._deleted(key, False, number, out)
            number += 1

    def keys(self, rows: Iterable[Any]) -> list[bytes]:
        """The framed key of each raw row. Raises RowError."""
        keys = []
        for raw in rows:
            self.new_row.fill(raw)
            keys.append(self._key(self.new_row, None))
        return keys

    def change_keys(self, change: Any) -> list[bytes | None]:
        """The framed keys of the rows that a change touches, whatever its other columns hold: the old
        one of an update or a delete, then the new one if it is another. None: can't be made.
        """
        _, op, old, _, new, *_ = change
        keys: list[bytes | None] = []
        if old is not None and op in {2, 3}:
            keys.append(self._key_alone(old, None))
        if new is not None:
            key = self._key_alone(new, old)
            if key not in keys:
                keys.append(key)
        return keys or [None]

    def _key_alone(self, raw: Any, other: Any) -> bytes | None:
        """The key of a raw row, columns that were not sent taken from `other`; None: can't be made."""
        try:
            self.new_row.fill(raw)
            if other is None:
                return self._key(self.new_row, None)
            self.old_row.fill(other)
            return self._key(self.new_row, self.old_row)
        except Exception:  # noqa: BLE001 - one row's, whatever it is
            return None if other is None else self._key_alone(raw, None)

    def row(self, raw: Any) -> bytes:
        """The Avro bytes, unframed, of the Row that a raw row becomes. Raises RowError, also
        where a column is missing.
        """
        self.new_row.fill(raw)
        self.at = 0
        if self.away:
            self.away = []  # of an earlier row
        self._row(self.new_row, None, False)
        if self.away:
            name = self.away[0].decode()
            raise RowError("the source did not send it", field=name, step="read")
        return taken(self.buffer, 0, self.at)

    def partial_row(self, raw: Any) -> tuple[bytes, tuple[str, ...]]:
        """As `row`, of a raw row from which columns may be missing; and the fields that they make."""
        self.new_row.fill(raw)
        self.at = 0
        if self.away:
            self.away = []  # of an earlier row
        self._row(self.new_row, None, False)
        return taken(self.buffer, 0, self.at), tuple([name.decode() for name in self.away])

    def raw_text(self, change: Any) -> str:
        """The raw content of a change as JSON text for a dead letter."""
        return raw_text(self.plan, change, self.max_record_bytes)

    # -- one change --------------------------------------------------------------------------

    def _begin(self, epoch: int, captured_at_us: int) -> None:
        if not 0 <= epoch <= MAX_EPOCH:
            raise OverflowError(f"epoch {epoch} is out of range")
        self.epoch = epoch
        self.captured_at = captured_at_us
        self.timestamp = captured_at_us // 1000
        self.transaction = None

    def _failure(self, change: Any, number: int, error: RowError) -> FailedRow:
        position = format_position(self.epoch, change[6][1], number)
        if isinstance(error, RowTooLarge):
            cut = oversized(self.plan, change, self.max_record_bytes)
            return FailedRow(change, error, "record", position, cut)
        return FailedRow(change, error, "row", position)

    def _without_old(
        self, change: Any, number: int, out: list[Any], failed: RowError
    ) -> RowError | None:
        """Try what `failed` as a whole by its new row and its old key alone; None when it became
        entries, else what keeps it from that.

        An old row that can't be normalised, or is too large, must keep neither the row that was
        fixed from the log nor the delete: then `before` is null. An old key that can't be
        normalised was never emitted, so that a new one needs no delete.
        """
        shape, op, old, whole, *rest = change
        weaker = []
        if old is not None and op in {2, 3}:
            weaker += [(shape, op, old, False, *rest)] if whole else []
            weaker += [(shape, op, None, False, *rest)] if op == 2 else []
        kept = len(out)
        for less in weaker:
            try:
                self._change(less, number, out)
            except Exception as error:  # noqa: BLE001 - one row's, whatever it is
                del out[kept:]
                failed = row_error(error)
            else:
                return None
        return failed

    def _change(self, change: Any, number: int, out: list[Any]) -> int:
        op = slot(change, 1)
        old = slot(change, 2)
        new = slot(change, 4)
        whole = bool(slot(change, 3)) and old is not None
        self._set_transaction(slot(change, 6), slot(change, 7))
        if not 0 <= number <= MAX_NUMBER:
            raise OverflowError(f"number {number} of a change is out of range")
        if old is not None:
            self.old_row.fill(old)
        if op == 3:
            if old is None:
                raise RowError("the delete has no old key", step="key")
            key = self._key(self.old_row, None)
            return self._deleted(key, whole, number, out)
        if new is None or op < 1 or op > 4:
            raise RowError(f"a change of op {op} without its row", step="frame")
        self.new_row.fill(new)
        other = self.old_row if old is not None else None
        key = self._key(self.new_row, other)
        if op == 2 and old is not None:
            before = self._key(self.old_row, None)
            if before != key:
                self._deleted(before, whole, number, out)
                return self._entry(key, 1, False, True, other, whole, number + 1, out)
        return self._entry(key, op, whole, True, other, whole, number, out)

    def _deleted(self, key: bytes, whole: bool, number: int, out: list[Any]) -> int:
        self._entry(key, 3, whole, False, None, False, number, out)
        event = out[len(out) - 1]
        out.append((key, None, event[2], self.timestamp, event[4]))
        return 0

    def _set_transaction(self, transaction: Any, causation: Any) -> int:
        if causation is not self.causation:
            self.causation = causation
            self.causation_header = (
                None if causation is None else (headers.CAUSATION, causation.encode())
            )
        if transaction is self.transaction:
            return 0
        name, commit, committed_at = transaction[0], transaction[1], transaction[2]
        if not 0 <= commit <= MAX_COMMIT:
            raise OverflowError(f"commit position {commit} is out of range")
        self.commit = commit
        self.at = 0
        if name is None:
            self._byte(0)
        else:
            text = str(name).encode()
            self._byte(2)
            self._span(text, 0, len(text))
        if committed_at is None:
            self._byte(0)
        else:
            self._byte(2)
            self._long(committed_at)
        self._long(self.captured_at)
        self.tail = taken(self.buffer, 0, self.at)
        self.time_header = (
            headers.TIME,
            self._instant(self.captured_at if committed_at is None else committed_at),
        )
        self.transaction = transaction
        return 0

    def _instant(self, micros: int) -> bytes:
        """What `instant_text` says of a time in microseconds since 1970."""
        if micros < 0 or micros >= 253_402_300_800_000_000:
            return instant_text(_EPOCH + timedelta(microseconds=micros)).encode()
        seconds = micros // 1_000_000
        days = seconds // 86_400
        rest = seconds - days * 86_400
        # Days to a date in eras of 400 years that begin in March:
        # https://howardhinnant.github.io/date_algorithms.html#civil_from_days
        days += 719_468
        era = days // 146_097
        days -= era * 146_097
        year = (days - days // 1460 + days // 36_524 - days // 146_096) // 365
        days -= 365 * year + year // 4 - year // 100
        month = (5 * days + 2) // 153
        day = days - (153 * month + 2) // 5 + 1
        month += 3 if month < 10 else -9
        year += era * 400 + (1 if month <= 2 else 0)
        self.at = 0
        self._decimal(year, 4, 0x2D)
        self._decimal(month, 2, 0x2D)
        self._decimal(day, 2, 0x54)
        self._decimal(rest // 3600, 2, 0x3A)
        self._decimal(rest // 60 % 60, 2, 0x3A)
        self._decimal(rest % 60, 2, 0x2E)
        self._decimal(micros - seconds * 1_000_000, 6, 0x5A)
        return taken(self.buffer, 0, self.at)

    def _decimal(self, value: int, width: int, behind: int) -> int:
        """So many digits and a sign behind them."""
        at = self.at
        self.at = at + width + 1
        self.buffer[at + width] = behind
        while width > 0:
            width -= 1
            self.buffer[at + width] = 0x30 + value % 10
            value //= 10
        return 1

    def _entry(  # noqa: PLR0917
        self,
        key: bytes,
        op: int,
        before: bool,
        after: bool,
        other: Cells | None,
        whole: bool,
        number: int,
        out: list[Any],
    ) -> int:
        """Append one event; `before`/`after` say which rows it has, `other` and `whole` as in
        `_row` what the old row may fill of the new one.
        """
        self.at = 0
        self._bytes(self.value_header)
        self._room(2)
        self.buffer[self.at] = op * 2
        self.at += 1
        self.away = []
        if before:
            self._byte(2)
            self._row(self.old_row, None, False)
            if self.away:
                # Never a partial one: an old row with missing columns is none.
                self.away = []
                self.at = len(self.value_header) + 1
                self._byte(0)
        else:
            self._byte(0)
        if after:
            self._byte(2)
            self._row(self.new_row, other, whole)
        else:
            self._byte(0)
        if self.away:
            self._long(len(self.away))
            for name in self.away:
                self._long(len(name))
                self._bytes(name)
        self._byte(0)
        self._byte(64)
        start = self.at
        self._position(number)
        self._bytes(self.tail)
        end = self.at
        self._bytes(self.id_prefix)
        self._room(32)
        for index in range(32):
            self.buffer[self.at + index] = self.buffer[start + index]
        self.at += 32
        event_id = taken(self.buffer, end, self.at - end)
        value = taken(self.buffer, 0, end)
        size = len(key) + end + self.headers_size
        heads = [
            self.specversion,
            (self.id_name, event_id),
            self.source,
            self.types[op],
            self.time_header,
            self.content_type,
        ]
        if self.causation_header is not None:
            heads.append(self.causation_header)
            size += len(self.causation_header[0]) + len(self.causation_header[1])
        if size > self.max_record_bytes:
            raise RowTooLarge(
                f"the record has {size} bytes where max_record_bytes is {self.max_record_bytes}",
                step="size",
            )
        out.append((key, value, heads, self.timestamp, murmur2(key) % self.partitions))
        return 0

    # -- rows and keys -----------------------------------------------------------------------

    def _state(self, index: int, cells: Cells) -> int:
        """NULL or AWAY when a column of the field is, else something not negative."""
        if self.quick[index] == DROP:
            return NULL
        state = cells.sizes[self.first[index]]
        columns = self.columns[index]
        if len(columns) > 1:
            for column in columns:
                here = cells.sizes[column]
                state = min(state, here)
        return state

    def _row(self, cells: Cells, other: Cells | None, whole: bool) -> int:
        """Write all fields; name in `away` those that neither row has. `whole`: `other` may fill
        every field, not only those of the key.
        """
        for index in range(self.count):
            key = self.is_key[index]
            state = self._state(index, cells)
            use = cells
            if state == AWAY and other is not None and (whole or key):
                use = other
                state = self._state(index, other)
            if state >= 0:
                if not key:
                    self._byte(2)
                if not self._quickly(index, use):
                    self._slowly(index, use)
            elif key:
                self._no_key(index, state)
            else:
                self._byte(0)
                if state == AWAY:
                    self.away.append(self.names[index])
        return 0

    def _key(self, cells: Cells, other: Cells | None) -> bytes:
        """The framed key of a row; columns that were not sent are taken from `other`."""
        self.at = 0
        self._bytes(self.key_header)
        for position in range(self.key_count):
            index = self.keys_at[position]
            use = cells
            state = self._state(index, cells)
            if state == AWAY and other is not None:
                use = other
                state = self._state(index, other)
            if state < 0:
                self._no_key(index, state)
            if self.same[position]:
                if not self._quickly(index, use):
                    self._slowly(index, use)
            else:
                value = self.converts[index](self._contents(index, use))
                if value is None:
                    self._no_key(index, NULL)
                self._bytes(self.key_encodes[position](value))
        return taken(self.buffer, 0, self.at)

    def _no_key(self, index: int, state: int) -> int:
        step = self.plan.steps[index]
        raise RowError(
            "the key is null" if state == NULL else "the source did not send the key",
            column="+".join(step.names),
            field=step.field,
            step="key",
        )

    def _contents(self, index: int, cells: Cells) -> list[Any]:
        return [(cells.forms[column], cells.content(column)) for column in self.columns[index]]

    def _slowly(self, index: int, cells: Cells) -> int:
        """Write a field in the general way. Raises RowError."""
        contents = self._contents(index, cells)
        value = self.converts[index](contents)
        data = None if value is None else self.encodes[index](value)
        if self.quick[index] == MEMO:
            name = self._memo_name(contents)
            if name is not None:
                memo = self.memos[index]
                if len(memo) >= MAX_REMEMBERED_RESULTS:
                    memo.clear()
                memo[name] = data
        return self._encoded(index, data)

    def _encoded(self, index: int, data: Any) -> int:
        """Write ready Avro bytes of a field; None takes back the sign that it isn't null."""
        if data is not None:
            return self._bytes(data)
        if self.is_key[index]:
            return self._no_key(index, NULL)
        self.buffer[self.at - 1] = 0
        return 0

    def _memo_name(self, contents: Sequence[Any]) -> Any:
        """By what the result of a pure transform is remembered; None: not at all."""
        for form, content in contents:
            if form == AS_OBJECT:
                kind = exact_type(content)
                if kind != 2 and kind != 4 and kind != 5:  # noqa: PLR1714 - C comparisons
                    return None
        if len(contents) == 1:
            form, content = contents[0]
            return (content,) if form == AS_TEXT else content
        return tuple(contents)

    def _remembered(self, index: int, cells: Cells) -> int:
        columns = self.columns[index]
        if len(columns) == 1:
            column = self.first[index]
            name = cells.content(column)
            if cells.forms[column] != AS_BINARY:
                name = self._memo_name([(cells.forms[column], name)])
        else:
            name = self._memo_name(self._contents(index, cells))
        if name is None:
            return 0
        data = self.memos[index].get(name, MISSING)
        if data is MISSING:
            return 0
        self._encoded(index, data)
        return 1

    # -- quick ways: 1 when the field was written, 0 when it is left to the general way ----------

    def _quickly(self, index: int, cells: Cells) -> int:
        way = self.quick[index]
        if way == SLOW:
            return 0
        if way == MEMO:
            return self._remembered(index, cells)
        column = self.first[index]
        if way >= PYBOOL:
            return self._quick_object(index, way, slot(cells.row, column))
        start = cells.starts[column]
        size = cells.sizes[column]
        p = pointer(cells.data)
        if way == TEXT:
            return self._quick_text(index, cells, p, start, size)
        if cells.forms[column] != AS_BINARY:
            return 0
        if way == INT:
            if size == 4:
                return self._long(load_i32(p, start))
            if size == 8:
                return self._long(load_i64(p, start))
            return self._long(load_i16(p, start)) if size == 2 else 0
        if way == MOMENT:
            # Years 1 to 9999; infinities and the rest are left to the general way.
            if size != 8:
                return 0
            micros = load_i64(p, start)
            if -63_082_281_600_000_000 <= micros <= 252_455_615_999_999_999:
                return self._long(micros + 946_684_800_000_000)
            return 0
        if way == DECIMAL:
            return self._quick_decimal(p, start, size, self.scales[index], self.digits[index])
        return self._quick_other(way, cells, p, start, size)

    def _quick_other(self, way: int, cells: Cells, p: bytes, start: int, size: int) -> int:
        if way == BOOL:
            return self._byte(1 if p[start] else 0) if size == 1 else 0
        if way == FLOAT8 or way == FLOAT4:  # noqa: PLR1714, SIM109
            wanted = 8 if way == FLOAT8 else 4
            if size != wanted:
                return 0
            self._room(8)
            for index in range(wanted):
                self.buffer[self.at + index] = p[start + wanted - 1 - index]
            self.at += wanted
            return 1
        if way == DATE:
            if size != 4:
                return 0
            days = load_i32(p, start)
            return self._long(days + 10957) if -730119 <= days <= 2921939 else 0
        if way == TIME:
            if size != 8:
                return 0
            micros = load_i64(p, start)
            return self._long(micros) if 0 <= micros < 86_400_000_000 else 0
        if way == OID:
            return self._long(load_u32(p, start)) if size == 4 else 0
        if way == UUID:
            return self._quick_uuid(p, start) if size == 16 else 0
        if way == NUMERIC:
            return self._quick_numeric(p, start, size)
        if way == JSONB:
            if size < 1 or p[start] != 1 or not utf8(p, start + 1, size - 1):
                return 0
            return self._span(cells.data, start + 1, size - 1)
        if way == BYTES:
            return self._span(cells.data, start, size)
        return 0

    def _quick_text(self, index: int, cells: Cells, p: bytes, start: int, size: int) -> int:
        end = start + size
        if self.trims[index]:
            while start < end and p[start] == 0x20:
                start += 1
            while start < end and p[end - 1] == 0x20:
                end -= 1
        width = self.zeros[index]
        if width and end > start:
            at = start
            while at < end and 0x30 <= p[at] <= 0x39:
                at += 1
            if at == end:
                if end - start < width:
                    return 0
                if end - start == width:
                    while start < end - 1 and p[start] == 0x30:
                        start += 1
        if not utf8(p, start, end - start):
            return 0
        return self._span(cells.data, start, end - start)

    def _quick_object(self, index: int, way: int, value: Any) -> int:
        kind = exact_type(value)
        if way == PYINT:
            return self._long(value) if kind == 2 else 0
        if way == PYTEXT:
            if kind != 4:
                return 0
            data = text_bytes(value)
            return 0 if data is None else self._span(data, 0, len(data))
        if way == PYDECIMAL:
            # By its text; what isn't plain digits is left to the general way.
            if kind == 0 and type(value) is not Decimal:
                return 0
            if kind == 1 or kind == 5:  # noqa: PLR1714
                return 0
            data = text_bytes(repr(value) if kind == 3 else str(value))
            if data is None:
                return 0
            return self._decimal_text(data, self.scales[index], self.digits[index])
        if way >= PYMOMENT:
            return self._quick_moment(way, value)
        if way == PYFLOAT:
            return self._double(value) if kind == 3 else 0
        if way == PYBOOL:
            return self._byte(1 if value else 0) if kind == 1 else 0
        if way == PYBYTES:
            return self._span(value, 0, len(value)) if kind == 5 else 0
        return 0

    def _quick_moment(self, way: int, value: Any) -> int:
        if way == PYDATE:
            if type(value) is not date:
                return 0
            return self._long(value.toordinal() - 719_163)
        if type(value) is not datetime:
            return 0
        zone = value.tzinfo
        if zone is not (UTC if way == PYMOMENT else None):
            return 0
        days = value.toordinal() - 719_163
        hour = value.hour
        minute = value.minute
        second = value.second
        micros = value.microsecond
        seconds = days * 86_400 + hour * 3600 + minute * 60 + second
        return self._long(seconds * 1_000_000 + micros)

    def _decimal_text(self, data: bytes, scale: int, digits: int) -> int:
        """A decimal of at most 18 digits from its text, exactly."""
        p = pointer(data)
        size = len(data)
        at = 0
        minus = 0
        if size and p[0] == 0x2D:
            minus = 1
            at = 1
        limit = power(digits)
        total = 0
        seen = 0
        behind = -1
        while at < size:
            sign = p[at]
            at += 1
            if sign == 0x2E and behind < 0:
                behind = 0
                continue
            if sign < 0x30 or sign > 0x39:
                return 0
            seen += 1
            if behind >= scale:
                if sign != 0x30:
                    return 0
                continue
            if behind >= 0:
                behind += 1
            total = total * 10 + (sign - 0x30)
            if total >= limit:
                return 0
        if not seen:
            return 0
        behind = max(behind, 0)
        while behind < scale:
            behind += 1
            total *= 10
            if total >= limit:
                return 0
        return self._unscaled(-total if minus else total)

    def _quick_decimal(self, p: bytes, start: int, size: int, scale: int, digits: int) -> int:
        """A numeric as decimal of at most 18 digits; source: numeric_send."""
        if size < 8:
            return 0
        count = load_u16(p, start)
        sign = load_u16(p, start + 4)
        if size != 8 + 2 * count or (sign != 0 and sign != 0x4000):  # noqa: PLR1714
            return 0
        exponent = 4 * load_i16(p, start + 2) + scale
        limit = power(digits)
        total = 0
        for index in range(count):
            digit = load_u16(p, start + 8 + 2 * index)
            if digit > 9999:
                return 0
            if digit:
                if exponent > 18 or exponent <= -4:
                    return 0
                if exponent >= 0:
                    unit = power(exponent)
                    if digit > (limit - 1 - total) // unit:
                        return 0
                    total += digit * unit
                else:
                    unit = power(-exponent)
                    if digit % unit != 0:
                        return 0
                    total += digit // unit
            exponent -= 4
        if total >= limit:
            return 0
        return self._unscaled(-total if sign else total)

    def _unscaled(self, signed: int) -> int:
        """The bytes of a decimal: its shortest big-endian two's complement."""
        length = 1
        while length < 8 and not -1 <= signed >> (8 * length - 1) <= 0:
            length += 1
        self._room(16)
        self.buffer[self.at] = length * 2
        self.at += 1
        for index in range(length):
            self.buffer[self.at + index] = (signed >> (8 * (length - 1 - index))) & 0xFF
        self.at += length
        return 1

    def _quick_numeric(self, p: bytes, start: int, size: int) -> int:
        """A numeric's exact text."""
        if size < 8:
            return 0
        count = load_u16(p, start)
        weight = load_i16(p, start + 2)
        sign = load_u16(p, start + 4)
        scale = load_u16(p, start + 6)
        if size != 8 + 2 * count or (sign != 0 and sign != 0x4000):  # noqa: PLR1714
            return 0
        if weight < -1 or weight > 30 or scale > 100:
            return 0
        # Written behind a gap for the length, which is one byte below 64 and two above.
        self._room(512)
        begin = self.at + 2
        at = begin
        if sign:
            self.buffer[at] = 0x2D
            at += 1
        whole = at
        places = weight + 1
        fractions = (scale + 3) // 4
        for index in range(places + fractions):
            digit = load_u16(p, start + 8 + 2 * index) if index < count else 0
            if digit > 9999:
                return 0
            if index == places:
                if at == whole:
                    self.buffer[at] = 0x30
                    at += 1
                if scale:
                    self.buffer[at] = 0x2E
                    at += 1
            for unit in (1000, 100, 10, 1):
                sign_of = digit // unit % 10
                if index >= places or at > whole or sign_of:
                    self.buffer[at] = 0x30 + sign_of
                    at += 1
        if fractions == 0 and at == whole:
            self.buffer[at] = 0x30
            at += 1
        at -= 4 * fractions - scale
        length = at - begin
        if length < 64:
            self.buffer[self.at] = length * 2
            for index in range(length):
                self.buffer[self.at + 1 + index] = self.buffer[begin + index]
            self.at += 1 + length
        else:
            self.buffer[self.at] = ((length * 2) & 0x7F) | 0x80
            self.buffer[self.at + 1] = (length * 2) >> 7
            self.at += 2 + length
        return 1

    def _quick_uuid(self, p: bytes, start: int) -> int:
        self._room(40)
        at = self.at
        self.buffer[at] = 72
        at += 1
        for index in range(16):
            if index == 4 or index == 6 or index == 8 or index == 10:  # noqa: PLR1714
                self.buffer[at] = 0x2D
                at += 1
            high = p[start + index] >> 4
            low = p[start + index] & 15
            self.buffer[at] = high + 48 if high < 10 else high + 87
            self.buffer[at + 1] = low + 48 if low < 10 else low + 87
            at += 2
        self.at = at
        return 1

    # -- writing; each returns 1 ---------------------------------------------------------------

    def _room(self, size: int) -> int:
        if self.at + size > self.size:
            self.size = 2 * (self.at + size)
            self.buffer = larger(self.buffer, self.size)
        return 1

    def _byte(self, value: int) -> int:
        self._room(1)
        self.buffer[self.at] = value
        self.at += 1
        return 1

    def _bytes(self, data: bytes) -> int:
        size = len(data)
        self._room(size)
        copy(self.buffer, self.at, data, 0, size)
        self.at += size
        return 1

    def _span(self, data: bytes, start: int, size: int) -> int:
        """A string or bytes: length and content."""
        self._long(size)
        self._room(size)
        copy(self.buffer, self.at, data, start, size)
        self.at += size
        return 1

    def _long(self, value: int) -> int:
        self._room(10)
        rest = zigzag(value)
        at = self.at
        while rest > 0x7F:
            self.buffer[at] = (rest & 0x7F) | 0x80
            rest >>= 7
            at += 1
        self.buffer[at] = rest
        self.at = at + 1
        return 1

    def _double(self, value: float) -> int:
        self._room(8)
        put_double(self.buffer, self.at, value)
        self.at += 8
        return 1

    def _position(self, number: int) -> int:
        self._room(32)
        at = self.at
        self._hexadecimal(at, self.epoch, 4)
        self.buffer[at + 4] = 0x2D
        self._hexadecimal(at + 5, self.commit, 16)
        self.buffer[at + 21] = 0x2D
        self._hexadecimal(at + 22, number, 10)
        self.at = at + 32
        return 1

    def _hexadecimal(self, at: int, value: int, width: int) -> int:
        for index in range(width):
            nibble = (value >> (4 * (width - 1 - index))) & 15
            self.buffer[at + index] = nibble + 48 if nibble < 10 else nibble + 55
        return 1


# -- reading ---------------------------------------------------------------------------------

#: How a field stands in Avro bytes; `NULLABLE` is added where null is possible, and `ARRAY` is
#: followed by the code of its items.
BOOLEAN_CODE, LONG_CODE, FLOAT_CODE, DOUBLE_CODE, BYTES_CODE, ARRAY_CODE, NULLABLE = (
    0, 1, 2, 3, 4, 5, 16,
)  # fmt: skip


def scan_change(data: bytes, at: int, codes: bytes) -> tuple[Any, ...]:
    """The parts of a Change record whose Row has these codes: op, offsets of the fields of
    `before` and of `after` (or None), names of what was not sent, position, transaction,
    occurred_at and captured_at in microseconds.

    Raises ValueError where the bytes end too early.
    """
    p = pointer(data)
    size = len(data)
    op = long_at(p, at, size)
    at = long_end(p, at, size)
    before: Any = None
    if long_at(p, at, size):
        before = []
        at = scan(data, at + 1, codes, before)
    else:
        at += 1
    after: Any = None
    if long_at(p, at, size):
        after = []
        at = scan(data, at + 1, codes, after)
    else:
        at += 1
    away: Any = ()
    count = long_at(p, at, size)
    if count:
        # Not a tuple that grows: a record full of empty names would take hours.
        away = []
    while count:
        at = long_end(p, at, size)
        if count < 0:
            count = -count
            at = long_end(p, at, size)
        while count > 0:
            away.append(read_bytes(data, at).decode())
            at = text_end(p, at, size)
            count -= 1
        count = long_at(p, at, size)
    at += 1
    position = read_bytes(data, at).decode()
    at = text_end(p, at, size)
    transaction: Any = None
    if long_at(p, at, size):
        transaction = read_bytes(data, at + 1).decode()
        at = text_end(p, at + 1, size)
    else:
        at += 1
    occurred: Any = None
    if long_at(p, at, size):
        occurred = long_at(p, at + 1, size)
        at = long_end(p, at + 1, size)
    else:
        at += 1
    captured = long_at(p, at, size)
    return op, before, after, tuple(away), position, transaction, occurred, captured


def text_end(p: bytes, at: int, size: int) -> int:
    """Behind the text or bytes at `at`."""
    length = long_at(p, at, size)
    at = long_end(p, at, size)
    if length < 0 or length > size - at:
        raise ValueError("the Avro bytes end too early")
    return at + length


def scan(data: bytes, at: int, codes: bytes, offsets: list[int]) -> int:
    """Append to `offsets` where each field of a record begins (-1: null); returns its end.

    Raises ValueError where the bytes end too early.
    """
    p = pointer(data)
    size = len(data)
    count = len(codes)
    c = pointer(codes)
    index = 0
    while index < count:
        code = c[index]
        if code >= 16:
            branch = long_at(p, at, size)
            at = long_end(p, at, size)
            if branch == 0:
                offsets.append(-1)
            else:
                offsets.append(at)
                at = skip(p, at, size, codes, index)
        else:
            offsets.append(at)
            at = skip(p, at, size, codes, index)
        while (c[index] & 15) == 5:
            index += 1
        index += 1
    return at


def skip(p: bytes, at: int, size: int, codes: bytes, index: int) -> int:
    """Behind the value that begins at `at`, whose code is the one at `index`."""
    c = pointer(codes)
    code = c[index] & 15
    if code == 1:
        return long_end(p, at, size)
    if code == 4:
        return text_end(p, at, size)
    if code == 5:
        return _skip_array(p, at, size, codes, index + 1)
    at += 1 if code == 0 else (4 if code == 2 else 8)
    if at > size:
        raise ValueError("the Avro bytes end too early")
    return at


def _skip_array(p: bytes, at: int, size: int, codes: bytes, index: int) -> int:
    c = pointer(codes)
    while True:
        items = long_at(p, at, size)
        at = long_end(p, at, size)
        if items == 0:
            return at
        if items < 0:
            # A block with its size.
            length = long_at(p, at, size)
            at = long_end(p, at, size)
            if length < 0 or length > size - at:
                raise ValueError("the Avro bytes end too early")
            at += length
            continue
        for _ in range(items):
            if c[index] >= 16:
                branch = long_at(p, at, size)
                at = long_end(p, at, size)
                if branch == 0:
                    continue
            at = skip(p, at, size, codes, index)


def long_at(p: bytes, at: int, size: int) -> int:
    """The long that begins at `at`. Raises ValueError where the bytes end too early."""
    rest = 0
    shift = 0
    while at < size and shift < 64:
        byte_ = p[at]
        rest |= lifted(byte_ & 0x7F, shift)
        if byte_ < 0x80:
            return unzigzag(rest)
        at += 1
        shift += 7
    raise ValueError("the Avro bytes end too early")


def long_end(p: bytes, at: int, size: int) -> int:
    """Behind the long that begins at `at`."""
    while at < size:
        if p[at] < 0x80:
            return at + 1
        at += 1
    raise ValueError("the Avro bytes end too early")


def read_long(data: bytes, at: int) -> int:
    """The long at `at`."""
    return long_at(pointer(data), at, len(data))


def read_bytes(data: bytes, at: int) -> bytes:
    """The bytes or the text's UTF-8 at `at`."""
    p = pointer(data)
    size = len(data)
    length = long_at(p, at, size)
    start = long_end(p, at, size)
    if length < 0 or length > size - start:
        raise ValueError("the Avro bytes end too early")
    return part(data, start, start + length)


def read_end(data: bytes, at: int, codes: bytes) -> int:
    """Behind the value at `at` of the code that `codes` begins with."""
    return skip(pointer(data), at, len(data), codes, 0)


def by_shape(changes: Iterable[Any]) -> dict[Any, list[Any]]:
    """Changes by their shape, in the order in which shapes first come."""
    groups: dict[Any, list[Any]] = {}
    last: Any = None
    here: list[Any] = []
    for change in changes:
        shape = change[0]
        if shape is not last or not groups:
            if shape not in groups:
                groups[shape] = []
            here = groups[shape]
            last = shape
        here.append(change)
    return groups


def partition(key: bytes | None, partitions: int) -> int:
    """The partition of a key, as `bridge.plan.murmur2` says, quickly where this is compiled."""
    return 0 if key is None else murmur2(key) % partitions
