"""The loop closes: a change that carries a command's id confirms that it took effect."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.log.port import Headers, Record
from bridge.model import headers
from bridge.observe import Confirmed, Observer


def confirmed(told: Headers) -> Confirmed | None:
    """What a change record's headers confirm: the command that caused it, if one did."""
    values = dict(told)
    cause, kind, event = (
        values.get(name, b"").decode("utf-8", "replace")
        for name in (headers.CAUSATION, headers.TYPE, headers.ID)
    )
    if not cause or headers.REPLAY in values:
        return None
    # `{bridge}.{system}.{entity}.{op}` and `{system}:{position}`
    entity = ".".join(kind.split(".")[-3:-1])
    return Confirmed(cause, entity, event.partition(":")[2])


def notice_confirmations(records: Iterable[Record], observer: Observer) -> int:
    """Tell the observer of each change among `records` that a command caused; how many."""
    count = 0
    for record in records:
        notice = confirmed(record.headers) if record.value is not None else None
        if notice is not None:
            observer(notice)
            count += 1
    return count
