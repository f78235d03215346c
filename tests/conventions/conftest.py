from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conventions.sources import source_files


@pytest.fixture(scope="package", autouse=True)
def trees_are_let_go() -> Iterator[None]:
    """With a million nodes in memory each full search for garbage in later tests takes 2 s."""
    yield
    source_files.cache_clear()
