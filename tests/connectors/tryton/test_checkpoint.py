"""What a source remembers, within what a checkpoint may hold."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import ConfigurationError, HistoryLost
from connectors.erp.checkpoint_size import MAX_CHECKPOINT_BYTES
from connectors.tryton.capture.checkpoint import MAX_ROWS_PER_MODEL, ModelState, pack, unpack
from connectors.tryton.capture.id_set import IdFingerprint
from connectors.tryton.capture.recent_changes import RecentChanges

times = st.integers(0, 2**51)
recents = st.builds(
    RecentChanges, times, times, times, st.dictionaries(st.integers(1, 2**40), times, max_size=20)
)
prints = st.builds(IdFingerprint, times, times, times)
seconds = st.floats(0, 2**32)
saved = st.builds(ModelState, recents, st.none() | prints, seconds, seconds)


@given(st.dictionaries(st.text(min_size=1), saved, max_size=4))
def test_what_is_packed_comes_back(models: dict[str, ModelState]) -> None:
    assert unpack(pack(models), "here") == models


def test_a_checkpoint_stays_small_and_forgets_the_oldest_first() -> None:
    dice = random.Random(1)  # noqa: S311 - made-up data
    at = 1_700_000_000_000_000
    emitted = {dice.randrange(10**12): at - dice.randrange(10**9) for _ in range(50_000)}
    packed = pack({name: ModelState(RecentChanges(at, 0, 0, emitted)) for name in ("a", "b", "c")})
    assert len(packed) <= MAX_CHECKPOINT_BYTES
    for state in unpack(packed, "here").values():
        assert 100 < len(state.recent.emitted) < MAX_ROWS_PER_MODEL
        oldest = min(state.recent.emitted.values())
        assert state.recent.since == oldest + 1
        newer = {key for key, when in emitted.items() if when > oldest}
        assert newer <= set(state.recent.emitted), "what was emitted since then is all there"


def test_too_many_models_are_a_sentence_not_a_loop() -> None:
    dice = random.Random(2)  # noqa: S311 - made-up data
    models = {
        f"model.{dice.randrange(10**9)}": ModelState(
            RecentChanges(dice.randrange(10**15), dice.randrange(10**15), dice.randrange(10**15)),
            IdFingerprint(dice.randrange(10**9), dice.randrange(10**9), dice.randrange(10**9)),
            dice.random(),
        )
        for _ in range(2_000)
    }
    with pytest.raises(ConfigurationError, match="2000 models are too many"):
        pack(models)


def squeezed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


GOOD = {"at": 1, "since": 0, "floor": 0, "ids": [1], "ago": [0], "known": None}


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"0/16B3748",
        zlib.compress(b"no json"),
        squeezed([1]),
        squeezed({"v": 2, "models": {}}),
        squeezed({"v": 1}),
        squeezed({"v": 1, "models": [1]}),
        squeezed({"v": 1, "models": {"m": GOOD}}),
        squeezed({"v": 1, "models": {"m": {**GOOD, "ids": [1, 2], "reconciled": 0, "again": 0}}}),
        squeezed({"v": 1, "models": {"m": {**GOOD, "known": [1], "reconciled": 0, "again": 0}}}),
        squeezed({"v": 1, "models": {"m": {**GOOD, "gaps": [1], "reconciled": 0, "again": 0}}}),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_with_the_way_out(damaged: bytes) -> None:
    with pytest.raises(HistoryLost, match=r"capture of 'erp': .*use the\s+log that belongs"):
        unpack(damaged, "capture of 'erp'")
