"""The loop closes: a change that carries a command's id confirms that it took effect. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from bridge.connector import Change
from bridge.log.port import Entry, Headers
from bridge.model import headers
from bridge.observe import Confirmed

_causation = itemgetter(7)


def confirmations(changes: Sequence[Change], entries: Iterable[Entry]) -> list[Confirmed]:
    """What these changes confirm; `entries` are the records made of them.

    Nearly all batches were caused by nobody, which costs one test of each change.
    """
    if not any(map(_causation, changes)):
        return []
    confirmed_commands = [confirmed(entry[2]) for entry in entries if entry[1] is not None]
    return [notice for notice in confirmed_commands if notice is not None]


def confirmed(record_headers: Headers) -> Confirmed | None:
    """What a change record's headers confirm: the command that caused it, if one did."""
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
