"""Decoded records as rows for programs and as lines for people. Every record can be shown, if
necessary as bytes. Pure.
"""

from __future__ import annotations

from typing import Any

from bridge.cli.output import records
from bridge.model.canonical import plain
from bridge.model.error_text import describe_error
from bridge.wiring.decoding import DecodedRecord


def decoded_row(decoded: DecodedRecord) -> dict[str, Any]:
    """For programs."""
    try:
        row = _row(decoded)
        # Errors of unprintable values occur here, where they don't end a listing.
        plain(row)
    except Exception as error:  # noqa: BLE001 - it is one record of many: shown as bytes
        return records.unreadable_row(decoded.record, describe_error(error))
    return row


def _row(decoded: DecodedRecord) -> dict[str, Any]:
    if decoded.event is not None:
        return records.event_row(decoded.record, decoded.event)
    if decoded.kind is not None and decoded.fixed is not None:
        return records.system_record_row(decoded.record, decoded.kind, decoded.key, decoded.fixed)
    if decoded.unreadable:
        return records.unreadable_row(decoded.record, decoded.unreadable)
    return records.raw_row(decoded.record)


def decoded_line(decoded: DecodedRecord) -> tuple[str, str, str, str, str]:
    """For people: time, what, which, key, the rest."""
    try:
        if decoded.event is not None:
            return records.event_line(decoded.event)
        if decoded.kind is not None and decoded.fixed is not None:
            return records.system_record_line(
                decoded.record, decoded.kind, decoded.key, decoded.fixed
            )
    except Exception as error:  # noqa: BLE001 - as of `decoded_row`
        return records.raw_line(decoded.record, describe_error(error))
    return records.raw_line(decoded.record, decoded.unreadable)
