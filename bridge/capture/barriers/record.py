"""The record of a barrier that came back through the stream: what it is and how it is stored. Pure.

Topic `_{bridge}.positions`, key `{system}/barrier` (no system's name has a slash, so it is beside the
checkpoint record and never taken for one), value = the JSON object that `dump` writes. It is written in
the log transaction of the changes before the barrier, or in a later one, so whoever reads it knows
that all of these are in the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from bridge.model.error_text import describe_error
from bridge.model.errors import ConfigurationError

FORMAT: Final = 1
MAX_ANSWERED: Final = 200
"""Requests that one barrier answers at most; the others are answered by the next one."""


@dataclass(frozen=True, slots=True)
class BarrierRecord:
    """A barrier that came back.

    number: 1, 2, … of the connection that wrote it.
    epoch: of the source's history.
    position: of the barrier; every change up to it is in the log.
    answered: the names of the requests that were made before it was written; nobody else may count it.
    """

    number: int
    epoch: int
    position: str
    answered: tuple[str, ...]


def combine(earlier: BarrierRecord | None, later: BarrierRecord | None) -> BarrierRecord | None:
    """The one record of two barriers that are written in one log transaction."""
    if earlier is None or later is None:
        return later or earlier
    return replace(later, answered=tuple(dict.fromkeys(earlier.answered + later.answered)))


def barrier_key(system: str) -> bytes:
    """The key of a system's barrier records."""
    return f"{system}/barrier".encode()


def dump(record: BarrierRecord) -> bytes:
    """The record's value: one JSON object."""
    return json.dumps(
        {
            "format": FORMAT,
            "barrier": record.number,
            "epoch": record.epoch,
            "position": record.position,
            "answered": list(record.answered),
        },
        separators=(",", ":"),
    ).encode()


def load(value: bytes, system: str) -> BarrierRecord:
    """The barrier in a record's value. Raises ConfigurationError if a newer version wrote it, or if it
    isn't a barrier record.
    """
    try:
        document: dict[str, Any] = json.loads(value)
        version = document["format"]
    except Exception as error:
        raise _foreign(system, error) from error
    if version != FORMAT:
        raise ConfigurationError(
            f"the barrier record of {system!r} has format {version}, this version knows {FORMAT}: "
            "update legacy-bridge here as well"
        )
    try:
        return BarrierRecord(
            _whole(document["barrier"]),
            _whole(document["epoch"]),
            _text(document["position"]),
            tuple(_text(name) for name in document["answered"]),
        )
    except Exception as error:
        raise _foreign(system, error) from error


def _foreign(system: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the barrier record of {system!r} can't be read ({describe_error(error, 200)}): something "
        "else wrote to the positions topic; give the bridge a topic prefix of its own"
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
