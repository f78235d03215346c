from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.capture.legacy import PostgresLegacy, SqliteLegacy
from tests.capture.rig import Rig, opened


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Over SQLite and the journal."""
    async with opened(tmp_path, SqliteLegacy(tmp_path / "erp.db")) as made:
        yield made


@pytest.fixture
async def pg(tmp_path: Path, database: str) -> AsyncIterator[Rig]:
    """Over PostgreSQL."""
    async with opened(tmp_path, PostgresLegacy(database)) as made:
        yield made
