"""The connector suite on a real Tryton."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from bridge.kit.connector import ConnectorSuite, TypeCase
from connectors.tryton.connector import connector
from tests.connectors.tryton.kit_system import TrytonLegacy
from tests.services.tryton import Tryton

MOMENT = datetime(2024, 1, 31, 10, 30, 15, tzinfo=UTC)


def sent(kind: str, **parts: Any) -> str:
    """A value that JSON has no form for, as clients of Tryton send it."""
    return json.dumps({"__class__": kind, **parts})


def moment(**more: int) -> Mapping[str, int]:
    parts = {"year": 2024, "month": 1, "day": 31, "hour": 10, "minute": 30, "second": 15}
    return {**parts, "microsecond": 0, **more}


TYPES = [
    TypeCase("boolean", "true", "boolean", True),
    TypeCase("integer", "-2147483648", "integer", -2147483648),
    TypeCase("integer", "2147483647", "integer", 2147483647),
    TypeCase("char", '" M\u00fcller \U0001f69a"', "string", " M\u00fcller \U0001f69a"),
    TypeCase("text", '"O\'Neil\\n"', "string", "O'Neil\n"),
    TypeCase("float", "0.1", "double", 0.1),
    TypeCase("numeric", sent("Decimal", decimal="12.2500"), "string", "12.2500"),
    TypeCase("numeric(16,2)", sent("Decimal", decimal="-0.1"), "decimal(16,2)", Decimal("-0.10")),
    TypeCase("date", sent("date", year=2024, month=1, day=31), "date", date(2024, 1, 31)),
    TypeCase("datetime", sent("datetime", **moment()), "timestamp", MOMENT),
    TypeCase(
        "timestamp",
        sent("datetime", **moment(microsecond=123456)),
        "timestamp",
        MOMENT.replace(microsecond=123456),
    ),
    TypeCase(
        "time",
        sent("time", hour=10, minute=30, second=15, microsecond=0),
        "time",
        time(10, 30, 15),
    ),
    TypeCase("timedelta", sent("timedelta", seconds=5400.5), "double", 5400.5),
    TypeCase("selection", '"b"', "string", "b"),
    TypeCase("multiselection", '["a", "b"]', "array(string)", ["a", "b"]),
    TypeCase("binary", sent("bytes", base64="+/8="), "bytes", b"\xfb\xff"),
    TypeCase("dict", '{"b": 1, "a": "\u00e9"}', "json", '{"a": "\u00e9", "b": 1}'),
    TypeCase("reference", '"res.user,3"', "string", "res.user,3"),
    TypeCase("many2one of res.user", "3", "integer", 3),
]


class TestTryton(ConnectorSuite):
    connector = connector
    limitations = TrytonLegacy.limitations

    @pytest.fixture
    def fresh(self, tryton: Tryton) -> TrytonLegacy:
        return TrytonLegacy(tryton, types=TYPES)
