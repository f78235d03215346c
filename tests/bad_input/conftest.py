from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.shop import PostgresShop, postgres_shop
from tests.services.postgres import Postgres


@pytest.fixture
def a_shop(tmp_path: Path, postgres: Postgres, database: str) -> Iterator[PostgresShop]:
    """A shop of the test's own; afterwards nothing that it left holds a secret."""
    new_shop = postgres_shop(tmp_path / "shop", postgres, database)
    yield new_shop
    new_shop.bridge.stores_no_secret()
    postgres.drop_database(database)
    postgres.execute(f"drop role {new_shop.user}")
