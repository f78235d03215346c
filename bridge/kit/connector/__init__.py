"""The acceptance suite of connectors.

A whole run over a connector of yours to a SQL database is this (`docs/connectors.md`):

```python
from bridge.kit.connector import ConnectorSuite, SqlLegacy, TypeCase

class TestMine(ConnectorSuite):
    connector = mine.connector

    @pytest.fixture
    def fresh(self, tmp_path):
        types = [TypeCase("integer", "7", "integer", 7)]
        legacy = SqlLegacy("mine:connector", f"mine://{tmp_path}/erp", types=types)
        yield legacy
        legacy.close()
```

For anything else write a class with the methods of `LegacySystem`. It needs pytest and pytest-asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.kit.lazy import loader

if TYPE_CHECKING:
    from bridge.kit.connector.base import ServerLie as ServerLie
    from bridge.kit.connector.legacy import COLUMNS as COLUMNS
    from bridge.kit.connector.legacy import KEY as KEY
    from bridge.kit.connector.legacy import Create as Create
    from bridge.kit.connector.legacy import Delete as Delete
    from bridge.kit.connector.legacy import LegacySystem as LegacySystem
    from bridge.kit.connector.legacy import Limitation as Limitation
    from bridge.kit.connector.legacy import Operation as Operation
    from bridge.kit.connector.legacy import Rekey as Rekey
    from bridge.kit.connector.legacy import TruncateTable as TruncateTable
    from bridge.kit.connector.legacy import TypeCase as TypeCase
    from bridge.kit.connector.legacy import Update as Update
    from bridge.kit.connector.server_lies import LyingLegacy as LyingLegacy
    from bridge.kit.connector.sql import SqlLegacy as SqlLegacy
    from bridge.kit.connector.suite import ConnectorSuite as ConnectorSuite

__all__ = [
    "COLUMNS",
    "KEY",
    "ConnectorSuite",
    "Create",
    "Delete",
    "LegacySystem",
    "Limitation",
    "LyingLegacy",
    "Operation",
    "Rekey",
    "ServerLie",
    "SqlLegacy",
    "TruncateTable",
    "TypeCase",
    "Update",
]

_HOMES = {**dict.fromkeys(__all__, "legacy"), "ConnectorSuite": "suite", "SqlLegacy": "sql"}
_HOMES |= {"ServerLie": "base", "LyingLegacy": "server_lies"}
_ASSERTING = (
    "ask_oracle", "asks", "base", "changes", "server_lies", "table_state", "reading", "records", "resuming", "setup", "snapshots", "stream",
    "polled_changes", "watermark_window", "writing",
)  # fmt: skip

__getattr__ = loader(__name__, _HOMES, _ASSERTING)
