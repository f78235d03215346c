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

For anything else write a class with the methods of `Legacy`. It needs pytest and pytest-asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.kit.lazy import loader

if TYPE_CHECKING:
    from bridge.kit.connector.base import Lie as Lie
    from bridge.kit.connector.legacy import COLUMNS as COLUMNS
    from bridge.kit.connector.legacy import KEY as KEY
    from bridge.kit.connector.legacy import Create as Create
    from bridge.kit.connector.legacy import Delete as Delete
    from bridge.kit.connector.legacy import Lack as Lack
    from bridge.kit.connector.legacy import Legacy as Legacy
    from bridge.kit.connector.legacy import Operation as Operation
    from bridge.kit.connector.legacy import Rekey as Rekey
    from bridge.kit.connector.legacy import Truncate as Truncate
    from bridge.kit.connector.legacy import TypeCase as TypeCase
    from bridge.kit.connector.legacy import Update as Update
    from bridge.kit.connector.lying import LyingLegacy as LyingLegacy
    from bridge.kit.connector.sql import SqlLegacy as SqlLegacy
    from bridge.kit.connector.suite import ConnectorSuite as ConnectorSuite

__all__ = [
    "COLUMNS",
    "KEY",
    "ConnectorSuite",
    "Create",
    "Delete",
    "Lack",
    "Legacy",
    "Lie",
    "LyingLegacy",
    "Operation",
    "Rekey",
    "SqlLegacy",
    "Truncate",
    "TypeCase",
    "Update",
]

_HOMES = {**dict.fromkeys(__all__, "legacy"), "ConnectorSuite": "suite", "SqlLegacy": "sql"}
_HOMES |= {"Lie": "base", "LyingLegacy": "lying"}
_ASSERTING = (
    "base", "changes", "lying", "oracle", "reading", "records", "resuming", "setup", "snapshots", "stream",
    "weaker", "window", "writing",
)  # fmt: skip

__getattr__ = loader(__name__, _HOMES, _ASSERTING)
