"""Confirmations: a change that carries a command's id confirms that the command took effect.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from bridge.connector import Change
from bridge.log.port import Entry, Headers
from bridge.model import headers
from bridge.observe import Confirmed

_causation = itemgetter(7)


def confirmations(changes: Sequence[Change], entries: Iterable[Entry]) -> list[Confirmed]:
    """The commands that these changes confirm; `entries` are their records.

    Nearly all batches were caused by no command, which costs one test per change.
    """
    if not any(map(_causation, changes)):
        return []
    confirmed_commands = [confirmed(entry[2]) for entry in entries if entry[1] is not None]
    return [notice for notice in confirmed_commands if notice is not None]


def confirmed(record_headers: Headers) -> Confirmed | None:
    """The command that caused a change record, from its headers; None if none did."""
    values = dict(record_headers)
    cause, kind, event = (
        values.get(name, b"").decode("utf-8", "replace")
        for name in (headers.CAUSATION, headers.TYPE, headers.ID)
    )
    if not cause or headers.REPLAY in values:
        return None
    # `{bridge}.{system}.{entity}.{op}` and `{system}:{position}`
    entity = ".".join(kind.split(".")[-3:-1])
    return Confirmed(cause, entity, event.partition(":")[2])
