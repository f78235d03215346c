from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.capture.databases import PostgresDatabase, SqliteDatabase
from tests.capture.harness import CaptureHarness, open_harness


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[CaptureHarness]:
    """Capture over SQLite and the journal."""
    async with open_harness(tmp_path, SqliteDatabase(tmp_path / "erp.db")) as opened:
        yield opened


@pytest.fixture
async def pg(tmp_path: Path, database: str) -> AsyncIterator[CaptureHarness]:
    """Capture over PostgreSQL."""
    async with open_harness(tmp_path, PostgresDatabase(database)) as opened:
        yield opened
