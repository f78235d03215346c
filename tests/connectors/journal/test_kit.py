"""The acceptance suite against the journal on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from bridge.kit.connector import ConnectorSuite, SqlLegacy, TypeCase
from connectors.journal import connector

# Its many short tests take longer than most files: it begins first.
pytestmark = pytest.mark.slow

TYPES = [
    TypeCase("INTEGER", "9223372036854775807", "integer", 2**63 - 1),
    TypeCase("BIGINT", "-9223372036854775808", "integer", -(2**63)),
    TypeCase("BOOLEAN", "1", "boolean", True),
    TypeCase("NUMERIC(15,2)", "12.5", "decimal(15,2)", Decimal("12.50")),
    TypeCase("DECIMAL(15,2)", "-3", "decimal(15,2)", Decimal("-3.00")),
    TypeCase("NUMERIC", "0.1", "string", "0.1"),
    TypeCase("REAL", "0.1", "double", 0.1),
    TypeCase("DOUBLE PRECISION", "1e308", "double", 1e308),
    TypeCase("TEXT", "'O''Neil \u20ac \U0001f69a'", "string", "O'Neil \u20ac \U0001f69a"),
    TypeCase("VARCHAR(10)", "''", "string", ""),
    TypeCase("CHAR(4)", "'ab'", "string", "ab"),
    TypeCase("DATE", "'2024-02-29'", "string", "2024-02-29"),
    TypeCase("TIMESTAMP", "'2024-02-29 23:59:59'", "string", "2024-02-29 23:59:59"),
    TypeCase("BLOB", "x'00ff'", "bytes", b"\x00\xff"),
    TypeCase("", "'anything'", "string", "anything"),
    TypeCase("INTEGER", "NULL", "integer", None),
]


class TestJournalOnSqlite(ConnectorSuite):
    connector = connector

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> Iterator[SqlLegacy]:
        path = tmp_path / "erp.db"
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        legacy = SqlLegacy(
            "connectors.journal:connector",
            f"sqlite:///{path}",
            own_url=f"sqlite:///{path}?timeout=30",
            types=TYPES,
        )
        yield legacy
        legacy.close()
