"""The connector suite on real services: V4 and V2, by each means of noticing changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest

from bridge.kit.connector import ConnectorSuite, TypeCase
from connectors.odata.connector import connector
from tests.connectors.odata.suite_service import ODataLegacy
from tests.services.cap import Cap
from tests.services.odatapy import Odatapy

GUID = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
MOMENT = datetime(2024, 1, 31, 10, 30, 15, tzinfo=UTC)

CAP_TYPES = [
    TypeCase("Boolean", "true", "boolean", True),
    TypeCase("UInt8", "255", "integer", 255),
    TypeCase("Int16", "-32768", "integer", -32768),
    TypeCase("Integer", "2147483647", "integer", 2147483647),
    TypeCase("Int64", '"9007199254740993"', "integer", 9007199254740993),
    TypeCase("Decimal(15, 4)", '"12.5"', "decimal(15,4)", Decimal("12.5000")),
    TypeCase("Decimal", '"12.25"', "string", "12.25"),
    TypeCase("Double", "0.1", "double", 0.1),
    TypeCase("Date", '"2024-01-31"', "date", date(2024, 1, 31)),
    TypeCase("Time", '"10:30:15"', "time", time(10, 30, 15)),
    TypeCase("DateTime", '"2024-01-31T10:30:15Z"', "timestamp", MOMENT),
    TypeCase(
        "Timestamp",
        '"2024-01-31T10:30:15.123Z"',
        "timestamp",
        MOMENT.replace(microsecond=123000),
    ),
    TypeCase("String(40)", '"M\u00fcller \U0001f69a"', "string", "M\u00fcller \U0001f69a"),
    TypeCase("LargeString", '"O\'Neil\\n"', "string", "O'Neil\n"),
    TypeCase("Binary(16)", '"-_8="', "bytes", b"\xfb\xff"),
    TypeCase("UUID", f'"{GUID}"', "uuid", UUID(GUID)),
]
ODATAPY_TYPES = [
    TypeCase("Edm.Boolean", "false", "boolean", False),
    TypeCase("Edm.Byte", "255", "integer", 255),
    TypeCase("Edm.SByte", "-128", "integer", -128),
    TypeCase("Edm.Int16", "-32768", "integer", -32768),
    TypeCase("Edm.Int32", "2147483647", "integer", 2147483647),
    TypeCase("Edm.Int64", '"9223372036854775807"', "integer", 2**63 - 1),
    TypeCase("Edm.Decimal(15, 4)", '"12.5"', "decimal(15,4)", Decimal("12.5000")),
    TypeCase("Edm.Decimal", '"12.250"', "string", "12.250"),
    TypeCase("Edm.Single", "1.5", "float", 1.5),
    TypeCase("Edm.Double", "0.1", "double", 0.1),
    TypeCase("Edm.Date", '"2024-01-31"', "date", date(2024, 1, 31)),
    TypeCase("Edm.TimeOfDay", '"10:30:15.5"', "time", time(10, 30, 15, 500000)),
    TypeCase(
        "Edm.DateTimeOffset",
        '"2024-01-31T12:30:15.123456+02:00"',
        "timestamp",
        MOMENT.replace(microsecond=123456),
    ),
    TypeCase("Edm.Duration", '"P1DT2H"', "string", "P1DT2H0S"),
    TypeCase("Edm.Guid", f'"{GUID}"', "uuid", UUID(GUID)),
    TypeCase("Edm.Binary", '"-_8="', "bytes", b"\xfb\xff"),
    TypeCase("Erp.Colour", '"Blue"', "string", "Blue"),
]


class TestDeltaLinks(ConnectorSuite):
    connector = connector
    limitations = ODataLegacy.limitations

    @pytest.fixture
    def fresh(self, odatapy: Odatapy) -> Iterator[ODataLegacy]:
        with odatapy.client() as client:
            yield ODataLegacy(odatapy.url, client, types=ODATAPY_TYPES)


class TestTimeOfChange(ConnectorSuite):
    connector = connector
    limitations = ODataLegacy.limitations

    @pytest.fixture
    def fresh(self, cap: Cap) -> Iterator[ODataLegacy]:
        with cap.client() as client:
            yield ODataLegacy(cap.url, client, types=CAP_TYPES, empty=cap.empty)


class TestTimeOfChangeV2(ConnectorSuite):
    connector = connector
    limitations = ODataLegacy.limitations

    @pytest.fixture
    def fresh(self, cap: Cap) -> Iterator[ODataLegacy]:
        with cap.client() as client:
            yield ODataLegacy(cap.v2, client, types=CAP_TYPES, empty=cap.empty)


class TestComparing(ConnectorSuite):
    connector = connector
    limitations = ODataLegacy.limitations

    @pytest.fixture
    def fresh(self, cap: Cap) -> Iterator[ODataLegacy]:
        with cap.client() as client:
            yield ODataLegacy(cap.url, client, types=CAP_TYPES, table="Plains", empty=cap.empty)
