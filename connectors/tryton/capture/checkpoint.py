"""A source's resume state: what was emitted lately of each model, within a checkpoint's 64 kB. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any, Final

from bridge.model.errors import HistoryLost
from connectors.erp.checkpoint_size import pack_to_fit
from connectors.tryton.capture.id_gaps import MAX_GAPS, IdGaps
from connectors.tryton.capture.id_set import IdFingerprint
from connectors.tryton.capture.recent_changes import RecentChanges

FORMAT_VERSION: Final = 1
MAX_ROWS_PER_MODEL: Final = 8_000
"""Rows of a model that are remembered at most."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """The resume state of one model.

    - `fingerprint`: of the ids of its rows; None where its ids are not compared.
    - `reconciled_at`: when all ids were compared last, in seconds since 1970 of the bridge's own clock.
    - `compare_again_at`: when the model has to be compared with the log once more (0: not), likewise.
    - `gaps`: ids that are missing and may be filled by rows that commit late.
    """

    recent: RecentChanges
    fingerprint: IdFingerprint | None = None
    reconciled_at: float = 0.0
    compare_again_at: float = 0.0
    gaps: IdGaps | None = None


def pack(models: Mapping[str, ModelState]) -> bytes:
    """The checkpoint. If there is too much to remember, the oldest rows are left out. Raises
    ConfigurationError if it has too many models even so.
    """
    return pack_to_fit(
        partial(_pack, models),
        MAX_ROWS_PER_MODEL,
        lambda size: (
            f"{len(models)} models are too many for one system: their checkpoint would take "
            f"{size} bytes; spread them over several system files with the same url"
        ),
    )


def _pack(models: Mapping[str, ModelState], max_rows: int) -> bytes:
    packed: dict[str, dict[str, Any]] = {}
    for name, state in models.items():
        recent = state.recent.limited_to(max_rows)
        ids = sorted(recent.emitted)
        # The keys are those of recorded checkpoints. Distances are short, and compress well.
        packed[name] = {
            "at": recent.at,
            "since": recent.since,
            "floor": recent.floor,
            "ids": _distances(ids),
            "ago": [recent.at - recent.emitted[key] for key in ids],
            "known": state.fingerprint,
            "reconciled": state.reconciled_at,
            "again": state.compare_again_at,
        }
        if state.gaps is not None:
            gaps = state.gaps.limited_to(min(MAX_GAPS, max_rows // 8))
            packed[name]["gaps"] = [gaps.last, _distances(sorted(gaps.ids))]
    text = json.dumps({"v": FORMAT_VERSION, "models": packed}, separators=(",", ":"))
    return zlib.compress(text.encode())


def _distances(ids: list[int]) -> list[int]:
    return [key - before for before, key in zip([0, *ids], ids, strict=False)]


def unpack(checkpoint: bytes, where: str) -> dict[str, ModelState]:
    """The states that `pack` got. Raises HistoryLost for anything else."""
    try:
        content = json.loads(zlib.decompress(checkpoint))
        if content["v"] != FORMAT_VERSION:
            raise ValueError(f"version {content['v']}")  # noqa: TRY301 - reported as any other damage
        return {name: _unpacked(packed) for name, packed in content["models"].items()}
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise HistoryLost(
            f"{where}: the checkpoint in the log is not one of this connector ({error}); use the "
            "log that belongs to it, or begin again"
        ) from error


def _unpacked(packed: Mapping[str, Any]) -> ModelState:
    at, numbers = int(packed["at"]), packed["known"]
    emitted = {
        key: at - int(ago)
        for key, ago in zip(accumulate(map(int, packed["ids"])), packed["ago"], strict=True)
    }
    last, distances = packed.get("gaps", (0, None))
    return ModelState(
        RecentChanges(at, int(packed["since"]), int(packed["floor"]), emitted),
        None if numbers is None else IdFingerprint(*map(int, numbers)),
        float(packed["reconciled"]),
        float(packed["again"]),
        # Earlier versions kept no gaps.
        None if distances is None else IdGaps(int(last), set(accumulate(map(int, distances)))),
    )
