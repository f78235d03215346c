from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agent.sqlite_erp import ErpHarness, open_erp


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[ErpHarness]:
    async with open_erp(tmp_path) as erp:
        yield erp
