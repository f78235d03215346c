"""Text of a code page as the bytes that a source stores, and conditions that hold such bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.canonical import plain


class EncodedText(bytes):
    """Bytes that are text in the source: text of a code page, or text that isn't valid UTF-8.

    A database that distinguishes text from binary values (SQLite) finds a row only by the kind that
    was stored, so these bytes are bound as text there. Equal to `bytes` of the same content.
    """

    __slots__ = ()


def condition_to_json(value: Any) -> Any:
    """A value of a snapshot's condition, as stored in the control topic and the checkpoint record.

    Bytes are `{"text": hex}` or `{"bytes": hex}`; everything else is converted by `plain`.
    """
    if isinstance(value, EncodedText):
        return {"text": value.hex()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, list):
        return [condition_to_json(choice) for choice in value]
    return plain(value)


def condition_from_json(where: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A condition in the form for connectors. Raises ValueError for invalid bytes."""
    return where and {column: _source_value(value) for column, value in where.items()}


def _source_value(value: Any) -> Any:
    if isinstance(value, list):
        return [_source_value(choice) for choice in value]
    if isinstance(value, dict):
        ((form, digits),) = value.items()
        content = bytes.fromhex(digits)
        return {"text": EncodedText, "bytes": bytes}[form](content)
    return value
