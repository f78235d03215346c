"""A source's resume state: what was told lately of each model, within a checkpoint's 64 kB. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.model.errors import HistoryLost
from connectors.tryton.known import Fingerprint
from connectors.tryton.recent import Recent

VERSION = 1
LIMIT = 60_000
MOST = 8_000
"""Rows of a model that are remembered at most."""


@dataclass(slots=True)
class Resume:
    """`recent` and `known` by model; `reconciled` when all ids were last compared with the log, in
    seconds since 1970 of our own clock.
    """

    recent: dict[str, Recent] = field(default_factory=dict)
    known: dict[str, Fingerprint] = field(default_factory=dict)
    reconciled: dict[str, float] = field(default_factory=dict)

    def pack(self) -> bytes:
        """As bytes. Where there is too much to remember, the oldest rows are left out."""
        most = MOST
        while True:
            packed = self._pack(most)
            if len(packed) <= LIMIT:
                return packed
            most //= 2

    def _pack(self, most: int) -> bytes:
        models = {}
        for name, whole in self.recent.items():
            recent = whole.newest(most)
            ids = list(recent.told)
            # Distances are short, and compress well.
            models[name] = {
                "at": recent.at,
                "since": recent.since,
                "floor": recent.floor,
                "ids": ids,
                "ago": [recent.at - recent.told[key] for key in ids],
                "known": self.known.get(name),
                "reconciled": self.reconciled.get(name),
            }
        text = json.dumps({"v": VERSION, "models": models}, separators=(",", ":"))
        return zlib.compress(text.encode())


def unpack(checkpoint: bytes, where: str) -> Resume:
    """What `pack` made. Raises HistoryLost for anything else."""
    try:
        found = json.loads(zlib.decompress(checkpoint))
        if found["v"] != VERSION:
            raise ValueError(f"version {found['v']}")  # noqa: TRY301 - told as any other damage
        return _loaded(found["models"])
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise HistoryLost(
            f"{where}: the checkpoint in the log is not one of this connector ({error}); bring the "
            "log that belongs to it, or begin anew"
        ) from error


def _loaded(models: Mapping[str, dict[str, object]]) -> Resume:
    resume = Resume()
    for name, one in models.items():
        told = dict(zip(one["ids"], one["ago"], strict=True))  # type: ignore[call-overload]
        at = int(one["at"])  # type: ignore[call-overload]
        resume.recent[name] = Recent(
            at,
            int(one["since"]),  # type: ignore[call-overload]
            int(one["floor"]),  # type: ignore[call-overload]
            {key: at - ago for key, ago in told.items()},
        )
        if one["known"] is not None:
            resume.known[name] = Fingerprint(*one["known"])  # type: ignore[misc]
        if one["reconciled"] is not None:
            resume.reconciled[name] = float(one["reconciled"])  # type: ignore[arg-type]
    return resume
