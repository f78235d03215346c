"""Removes secrets from the messages in an object; names, numbers and values are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.model.redaction import redact

MESSAGE_NAMES: Final = frozenset(
    {
        "reason",
        "message",
        "waiting",
        "troubles",
        "remarks",
        "problems",
        "error",
        "traceback",
        "what",
        "hint",
        "why",
        "failed",
    }
)
"""Fields that contain messages; all others contain names, numbers and values."""


def redact_messages(value: Any, name: str = "") -> Any:
    """A copy of `value` (JSON objects, lists and texts) without secrets in the texts under
    `MESSAGE_NAMES`, at any depth.
    """
    if isinstance(value, str):
        return redact(value) if name in MESSAGE_NAMES else value
    if isinstance(value, Mapping):
        inner = name if name in MESSAGE_NAMES else ""
        return {key: redact_messages(item, inner or str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_messages(item, name) for item in value]
    return value
