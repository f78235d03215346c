"""Which texts PostgreSQL takes for the same only if all of their characters are."""

from __future__ import annotations

import pytest

from connectors.postgres import connector
from tests.connectors.postgres.postgres_erp import PostgresErp

pytestmark = pytest.mark.postgres


async def test_texts_are_exact_but_for_collations_and_types_that_compare_coarsely(
    erp: PostgresErp,
) -> None:
    erp.run(
        "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "CREATE EXTENSION citext",
        'CREATE TABLE t (id int PRIMARY KEY, a text, b varchar(9), c name, d text COLLATE "C", '
        "e text COLLATE caseless, f citext, g char(9), h json)",
    )
    shape = (await connector.describe(erp.system("t")))["t"]
    exact = [column.name for column in shape.columns if column.exact_text]
    assert exact == ["a", "b", "c", "d"]
