"""What a row that can't be normalised leaves behind: its raw content as text, less masked columns."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from bridge.model.canonical import plain
from bridge.model.conversion_error import safe_repr
from bridge.model.error_text import error_name
from bridge.model.errors import RowError
from bridge.plan.convert import decoder
from bridge.plan.opcodes import AS_BINARY, AS_OBJECT, AS_TEXT
from bridge.plan.steps import MISSING, Plan, Wire


class Oversized(NamedTuple):
    """A column whose content was cut: its length in bytes and SHA-256 in hexadecimal (empty for
    a masked column, whose content a hash would give away).
    """

    column: str
    length: int
    sha256: str


class RowTooLarge(RowError):
    """The record is over `max_record_bytes`."""


def row_error(error: Exception) -> RowError:
    """Any error as one that dead-letters its row. What nobody raised on purpose is named by its class
    alone, because its text may hold a masked value.
    """
    if isinstance(error, RowError):
        return error
    defect = RowError(f"a defect ({error_name(error)}), please report it", step="plan")
    defect.__cause__ = error
    return defect


class FailedRow(NamedTuple):
    """A change that became no entry: the change, why, `row` or `record`, and its position.

    For a snapshot row `change` is a plain tuple of Change's slots without a shape.
    """

    change: Any
    error: RowError
    kind: str
    position: str
    oversized: tuple[Oversized, ...] = ()


Cell = tuple[int, int, Any]
"""Index of the column, form, content; null and unsent ones have a form of -1 and -2."""


def cells_of(plan: Plan, raw: Any) -> Iterator[Cell]:
    """The columns of a raw row. Stops without a word where the row is cut off."""
    if plan.wire is Wire.PYTHON:
        for index, value in enumerate(raw):
            form = -1 if value is None else (-2 if value is MISSING else AS_OBJECT)
            yield index, form, value
        return
    data = bytes(raw)
    at = 2
    for index in range(len(plan.columns)):
        form = AS_BINARY
        if plan.wire is Wire.PGOUTPUT:
            kind, at = data[at : at + 1], at + 1
            if kind not in {b"b", b"t"}:
                yield index, -2 if kind == b"u" else -1, None
                continue
            form = AS_TEXT if kind == b"t" else AS_BINARY
        if at + 4 > len(data):
            return
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        if size < 0:
            yield index, -1, None
            continue
        yield index, form, data[at : at + size]
        at += size


def cut_at(plan: Plan, limit: int) -> int:
    """So many bytes of one column's content fit into a dead letter whatever the others hold."""
    return max(64, limit // (8 * max(1, len(plan.columns))))


def raw_text(plan: Plan, change: Any, limit: int) -> str:
    """The old and new row of a change as JSON text: column to text, or to hexadecimal where it
    isn't text. Masked columns are left out, long contents are cut with their length and hash.
    """
    wires = {
        index: wire
        for step in plan.steps
        for index, wire in zip(step.columns, step.wires, strict=True)
    }
    cut = cut_at(plan, limit)

    def columns(raw: Any) -> dict[str, Any] | None:
        if raw is None:
            return None
        values: dict[str, Any] = {}
        for index, form, content in cells_of(plan, raw):
            if index in plan.masked or index >= len(plan.columns) or form == -2:
                continue
            values[plan.columns[index]] = (
                None if form == -1 else _json_value(wires.get(index, "unknown"), form, content, cut)
            )
        return values

    rows = {"old": columns(change[2]), "new": columns(change[4])}
    return _json(rows)


def _json_value(wire: str, form: int, content: Any, cut: int) -> Any:
    if form == AS_OBJECT:
        try:
            value = plain(content)
            _json(value)
        except (TypeError, ValueError, RecursionError):
            value = safe_repr(content)
    elif form == AS_TEXT:
        value = content.decode(errors="backslashreplace")
    else:
        try:
            value = plain(decoder(wire)(form, content))
        except Exception:  # noqa: BLE001 - what can't be decoded is shown in hexadecimal
            value = "\\x" + content.hex()
    text = value if isinstance(value, str) else _json(value)
    # Surrogates and other text that UTF-8 can't hold would make the letter itself unreadable.
    clean = text.encode(errors="backslashreplace")
    json_text = clean.decode() if isinstance(value, str) else value
    # What counts is how long it is in the letter, where a control character takes six bytes.
    if len(_json(json_text).encode(errors="backslashreplace")) > cut:
        content = content if isinstance(content, bytes) else clean
        start = clean[: cut // 2].decode(errors="ignore")
        if len(_json(start).encode()) > cut:
            start = clean[: cut // 8].decode(errors="ignore")
        return {
            "start": start,
            "length": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    return json_text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def oversized(plan: Plan, change: Any, limit: int) -> tuple[Oversized, ...]:
    """The columns of a change that `raw_text` cuts, the newest row's first."""
    cut = cut_at(plan, limit)
    columns: dict[str, Oversized] = {}
    for raw in (change[4], change[2]):
        if raw is None:
            continue
        for index, form, content in cells_of(plan, raw):
            if form < 0:
                continue
            if isinstance(content, (bytes, bytearray, memoryview)):
                data = bytes(content)
            else:
                text = content if isinstance(content, str) else safe_repr(content)
                data = text.encode(errors="backslashreplace")
            name = plan.columns[index]
            if len(data) > cut and name not in columns:
                digest = "" if index in plan.masked else hashlib.sha256(data).hexdigest()
                columns[name] = Oversized(name, len(data), digest)
    return tuple(columns.values())
