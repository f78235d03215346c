from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.connectors.postgres.postgres_erp import PostgresErp

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


@pytest.fixture
def erp(postgres: Postgres, database: str) -> Iterator[PostgresErp]:
    postgres_erp = PostgresErp(postgres, database)
    yield postgres_erp
    postgres_erp.db.close()
