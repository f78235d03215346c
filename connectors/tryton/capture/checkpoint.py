"""A source's resume state: what was told lately of each model, within a checkpoint's 64 kB. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from bridge.model.errors import HistoryLost
from connectors.erp.checkpoint_size import pack_to_fit
from connectors.tryton.capture.id_gaps import MAX_GAPS as MOST_GAPS
from connectors.tryton.capture.id_gaps import IdGaps
from connectors.tryton.capture.id_set import IdFingerprint
from connectors.tryton.capture.recent_changes import RecentChanges

FORMAT_VERSION = 1
MAX_ROWS_PER_MODEL = 8_000
"""Rows of a model that are remembered at most."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """Of one model. `known` is None of what has no ids to be compared, `gaps` those among them, which
    may be filled by rows that come late; `reconciled` and `again` are
    seconds since 1970 of our own clock: when all ids were last compared, and when the model has to
    be compared with the log once more (0: not).
    """

    recent: RecentChanges
    known: IdFingerprint | None = None
    reconciled: float = 0.0
    again: float = 0.0
    gaps: IdGaps | None = None


def pack(models: Mapping[str, ModelState]) -> bytes:
    """As bytes. Where there is too much to remember, the oldest rows are left out.

    Raises ConfigurationError where the models are too many even so.
    """
    return pack_to_fit(
        partial(_pack, models),
        MAX_ROWS_PER_MODEL,
        lambda size: (
            f"{len(models)} models are too many for one system: their checkpoint would take "
            f"{size} bytes; spread them over several system files with the same url"
        ),
    )


def _pack(models: Mapping[str, ModelState], most: int) -> bytes:
    packed: dict[str, dict[str, Any]] = {}
    for name, saved in models.items():
        recent = saved.recent.newest(most)
        ids = sorted(recent.told)
        # Distances are short, and compress well.
        packed[name] = {
            "at": recent.at,
            "since": recent.since,
            "floor": recent.floor,
            "ids": _distances(ids),
            "ago": [recent.at - recent.told[key] for key in ids],
            "known": saved.known,
            "reconciled": saved.reconciled,
            "again": saved.again,
        }
        if saved.gaps is not None:
            gaps = saved.gaps.newest(min(MOST_GAPS, most // 8))
            packed[name]["gaps"] = [gaps.last, _distances(sorted(gaps.ids))]
    text = json.dumps({"v": FORMAT_VERSION, "models": packed}, separators=(",", ":"))
    return zlib.compress(text.encode())


def _distances(ids: list[int]) -> list[int]:
    return [key - before for before, key in zip([0, *ids], ids, strict=False)]


def unpack(checkpoint: bytes, where: str) -> dict[str, ModelState]:
    """What `pack` made. Raises HistoryLost for anything else."""
    try:
        found = json.loads(zlib.decompress(checkpoint))
        if found["v"] != FORMAT_VERSION:
            raise ValueError(f"version {found['v']}")  # noqa: TRY301 - told as any other damage
        return {name: _loaded(one) for name, one in found["models"].items()}
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise HistoryLost(
            f"{where}: the checkpoint in the log is not one of this connector ({error}); bring the "
            "log that belongs to it, or begin anew"
        ) from error


def _loaded(one: Mapping[str, Any]) -> ModelState:
    at, known = int(one["at"]), one["known"]
    told = {
        key: at - int(ago)
        for key, ago in zip(accumulate(map(int, one["ids"])), one["ago"], strict=True)
    }
    last, distances = one.get("gaps", (0, None))
    return ModelState(
        RecentChanges(at, int(one["since"]), int(one["floor"]), told),
        None if known is None else IdFingerprint(*map(int, known)),
        float(one["reconciled"]),
        float(one["again"]),
        # Earlier versions didn't look for gaps.
        None if distances is None else IdGaps(int(last), set(accumulate(map(int, distances)))),
    )
