from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest

from bridge.kit.connector import ConnectorSuite, SqlLegacy, TypeCase
from connectors.postgres import connector

TYPES = [
    TypeCase("boolean", "true", "boolean", True),
    TypeCase("bigint", "-9223372036854775808", "integer", -(2**63)),
    TypeCase("double precision", "'Infinity'", "double", float("inf")),
    TypeCase("numeric(9,3)", "-1.5", "decimal(9,3)", Decimal("-1.500")),
    TypeCase("numeric", "1.50", "string", "1.50"),
    TypeCase("char(4)", "'ab'", "string", "ab  "),
    TypeCase("bytea", "'\\x00ff'", "bytes", b"\x00\xff"),
    TypeCase("date", "'2024-02-29'", "date", date(2024, 2, 29)),
    TypeCase("time", "'23:59:59.5'", "time", time(23, 59, 59, 500_000)),
    TypeCase("timestamp", "'2024-02-29 1:2:3'", "local_timestamp", datetime(2024, 2, 29, 1, 2, 3)),  # noqa: DTZ001
    TypeCase(
        "timestamptz",
        "'2024-02-29 1:2:3+02'",
        "timestamp",
        datetime(2024, 2, 28, 23, 2, 3, tzinfo=UTC),
    ),
    TypeCase("interval", "'1 mon -2 days'", "string", "P1M-2D"),
    TypeCase("uuid", f"'{UUID(int=7)}'", "uuid", UUID(int=7)),
    TypeCase("jsonb", "'{\"a\": 1.0}'", "json", '{"a": 1.0}'),
    TypeCase("text[]", "'{a,NULL}'", "array(string)", ["a", None]),
    TypeCase("int4range", "'[1,3)'", "string", "[1,3)"),
]


class TestPostgres(ConnectorSuite):
    connector = connector

    @pytest.fixture
    def fresh(self, database: str) -> Iterator[SqlLegacy]:
        erp = SqlLegacy(
            "connectors.postgres:connector",
            database,
            own_url=database.replace("postgresql:", "postgresql+psycopg:"),
            types=TYPES,
            options={"slot": f"slot_{database.rpartition('/')[2]}"},
        )
        yield erp
        erp.close()
