from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.log.embedded import EmbeddedLog

OpenEmbedded = Callable[..., Awaitable[EmbeddedLog]]


@pytest.fixture
async def open_embedded(tmp_path: Path) -> AsyncIterator[OpenEmbedded]:
    """Opens clients of one embedded log; they are closed afterwards."""
    opened: list[EmbeddedLog] = []

    async def open_one(name: str = "log.db", **options: Any) -> EmbeddedLog:
        log = EmbeddedLog(tmp_path / name, **options)
        opened.append(log)
        await log.open()
        return log

    yield open_one
    for log in opened:
        await log.close()
