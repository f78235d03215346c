from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.connectors.postgres.legacy import Legacy

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


@pytest.fixture
def legacy(postgres: Postgres, database: str) -> Iterator[Legacy]:
    found = Legacy(postgres, database)
    yield found
    found.db.close()
