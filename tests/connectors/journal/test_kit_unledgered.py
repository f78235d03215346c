"""The suite's part about commands against a writer without a ledger, its probe declared or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.kit.connector import SqlLegacy
from bridge.kit.connector.writing import WriterTests
from tests.connectors.journal.unledgered import ProbedLegacy, connector


class TestWithoutLedger(WriterTests):
    connector = connector

    @pytest.fixture(params=[SqlLegacy, ProbedLegacy], ids=["no probe", "a probe"])
    def fresh(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLegacy]:
        path = tmp_path / "erp.db"
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        build = "tests.connectors.journal.unledgered:connector"
        legacy = request.param(build, f"sqlite:///{path}", types=[])
        yield legacy
        legacy.close()
