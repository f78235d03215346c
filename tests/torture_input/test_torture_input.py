"""A seeded part of what `make torture-input` does at length."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connectors.odata.mutated_answers import Mutating
from tests.http_proxy import standing
from tests.services.cap import Cap
from tests.torture.crash_target import ObservedFile
from tests.torture_input.torture import torture


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hostile_input_ends_and_loses_nothing(tmp_path: Path, cap: Cap) -> None:
    service = Mutating(cap.address)
    with standing(service):
        log = ObservedFile(tmp_path)
        assert torture(tmp_path / "bridge", log, cap, service, inputs=100, seed=7) > 100
