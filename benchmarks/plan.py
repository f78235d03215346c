"""What does a change of ten columns cost: decoded, normalised, encoded, with headers and partition?

The same rows go through the executor, and as ready dicts through fastavro's
`schemaless_writer`; the ratio is fastavro's time a record over the executor's time a change.
"""

from __future__ import annotations

import gc
import io
import json
import struct
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

from bridge.connector import Batch, Change, Column, Shape, SourceTransaction
from bridge.model.avro import change_schema, schema_text
from bridge.model.specs import EntitySpec
from bridge.model.types import parse_type
from bridge.plan import execute
from bridge.plan.entity_type import entity_type
from bridge.plan.lazy_record import Decoder
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import Wire

COLUMNS = (
    ("id", "int8", "integer"),
    ("customer_id", "int4", "integer"),
    ("status", "text", "string"),
    ("total", "numeric", "decimal(15,2)"),
    ("quantity", "int4", "integer"),
    ("price", "float8", "double"),
    ("note", "text", "string"),
    ("active", "bool", "boolean"),
    ("ordered_at", "timestamptz", "timestamp"),
    ("day", "date", "date"),
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROUNDS = 7


def shape(wire: Wire) -> Shape:
    columns = tuple(
        Column(
            name,
            code,
            parse_type(kind),
            "python" if wire is Wire.PYTHON else code,
            nullable=name != "id",
            key=name == "id",
        )
        for name, code, kind in COLUMNS
    )
    return Shape("public.orders", columns, wire)


def numeric(value: Decimal) -> bytes:
    cents = int(value.scaleb(2))
    digits = [cents // 100 // 10000, cents // 100 % 10000, cents % 100 * 100]
    return struct.pack(">hhHH3H", 3, 1, 0, 2, *digits)


def python_row(number: int) -> tuple[Any, ...]:
    return (
        number,
        number % 5000,
        "shipped",
        Decimal(number % 1_000_000) + Decimal("0.25"),
        number % 90,
        number / 7,
        f"a note of middling length, number {number}",
        number % 2 == 0,
        EPOCH + timedelta(seconds=1_700_000_000 + number, microseconds=number % 1000),
        (EPOCH + timedelta(days=19_000 + number % 700)).date(),
    )


def binary_values(row: tuple[Any, ...]) -> list[bytes]:
    number, customer, status, total, quantity, price, note, active, at, day = row
    micros = (at - EPOCH) // timedelta(microseconds=1) - 946_684_800_000_000
    return [
        struct.pack(">q", number),
        struct.pack(">i", customer),
        status.encode(),
        numeric(total),
        struct.pack(">i", quantity),
        struct.pack(">d", price),
        note.encode(),
        b"\1" if active else b"\0",
        struct.pack(">q", micros),
        struct.pack(">i", (day - EPOCH.date()).days - 10957),
    ]


def pgoutput_row(row: tuple[Any, ...]) -> bytes:
    values = binary_values(row)
    return struct.pack(">h", len(values)) + b"".join(
        b"b" + struct.pack(">i", len(value)) + value for value in values
    )


def pgcopy_row(row: tuple[Any, ...]) -> bytes:
    values = binary_values(row)
    return struct.pack(">h", len(values)) + b"".join(
        struct.pack(">i", len(value)) + value for value in values
    )


def best(work: Callable[[], Any]) -> float:
    """Seconds of the quickest of several rounds: what the machine can do undisturbed."""
    times = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    finally:
        gc.enable()
    return min(times)


def frames_of(rows: list[bytes]) -> list[bytes]:
    def framed(message: bytes) -> bytes:
        return b"w" + bytes(24) + message

    columns = b"".join(
        bytes([1 if name == "id" else 0]) + name.encode() + b"\0" + struct.pack(">Ii", 25, -1)
        for name, _, _ in COLUMNS
    )
    relation = b"R" + struct.pack(">I", 16400) + b"public\0orders\0d"
    relation += struct.pack(">h", len(COLUMNS)) + columns
    inserts = [framed(b"I" + struct.pack(">I", 16400) + b"N" + row) for row in rows]
    begin = framed(b"B" + struct.pack(">QqI", 500, 800_000_000_000_000, 77))
    return [framed(relation), begin, *inserts]


def main() -> int:
    count = 20_000 if execute.COMPILED else 2_000
    objects = [python_row(number) for number in range(count)]
    transaction = SourceTransaction("77", 500, 1_700_000_000_000_000)
    measured: list[tuple[str, float]] = []

    def executor(wire: Wire) -> tuple[Shape, execute.RowEncoder]:
        row_shape = shape(wire)
        spec = EntitySpec("erp", "orders", "public.orders")
        plan = make_plan(spec, entity_type(spec, row_shape), row_shape)
        return row_shape, execute.RowEncoder(plan, "acme", 1, 2, 6)

    values: list[bytes] = []
    for wire, make in ((Wire.PGOUTPUT, pgoutput_row), (Wire.PYTHON, tuple)):
        row_shape, ready = executor(wire)
        changes = [
            Change(row_shape, 1, None, False, make(row), index, transaction)
            for index, row in enumerate(objects)
        ]

        def run() -> None:
            out: list[Any] = []
            assert not ready.changes(changes, 1, 1_700_000_000_000_000, out)  # noqa: B023
            values[:] = [entry[1] for entry in out]

        measured.append((f"change, {wire.value}", best(run)))
    row_shape, ready = executor(Wire.PGCOPY)
    copied = [pgcopy_row(row) for row in objects]

    def read_rows() -> None:
        out: list[Any] = []
        assert not ready.rows(copied, 1, 500, 0, 1_700_000_000_000_000, out)

    measured.append(("snapshot row, pgcopy", best(read_rows)))

    from connectors.postgres.protocol.frames import Frames

    frames = [memoryview(frame) for frame in frames_of([pgoutput_row(row) for row in objects])]
    row_shape = shape(Wire.PGOUTPUT)

    def feed() -> None:
        batch = Batch([], b"", 0)
        Frames(lambda _: row_shape).feed(frames, batch)
        assert len(batch.changes) == count

    measured.append(("frame to change", best(feed)))

    entity = ready.plan.entity
    decoder = Decoder(schema_text(change_schema(entity)), entity)

    def read_two() -> None:
        for value in values:
            after = decoder.change(value).after
            assert after is not None
            _ = after.status, after.total

    measured.append(("lazy read of two fields", best(read_two)))

    schema = fastavro.parse_schema(change_schema(entity))
    names = [name for name, _, _ in COLUMNS]
    records: list[dict[str, Any]] = [
        {
            "op": "create",
            "before": None,
            "after": dict(zip(names, row, strict=True)),
            "unavailable": [],
            "position": "0001-0000000000000063-0000000002",
            "transaction": "77",
            "occurred_at": EPOCH,
            "captured_at": EPOCH,
        }
        for row in objects[:2000]
    ]

    def write() -> None:
        for record in records:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, schema, record)

    peer = best(write) / len(records)
    form = "compiled" if execute.COMPILED else "interpreted"
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    with (folder / "plan.jsonl").open("w") as results:
        for name, seconds in measured:
            each = seconds / count
            print(f"{form:12} {name:26} {each * 1e9:9.0f} ns   {peer / each:6.1f} x fastavro")
            line = {
                "name": f"plan: {name}",
                "value": round(each * 1e9),
                "unit": "ns",
                "against": "fastavro schemaless_writer of ready dicts",
                "ratio": round(peer / each, 2),
            }
            results.write(json.dumps(line) + "\n")
    print(f"{'':12} {'fastavro schemaless_writer':26} {peer * 1e9:9.0f} ns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
