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

import pytest

for _module in (
    "base", "changes", "oracle", "reading", "records", "resuming", "setup", "snapshots", "stream",
    "weaker", "window", "writing",
):  # fmt: skip
    # Before the parts are imported: their assertions then say what they compared.
    pytest.register_assert_rewrite(f"bridge.kit.connector.{_module}")

from bridge.kit.connector.legacy import (  # noqa: E402
    COLUMNS,
    KEY,
    Create,
    Delete,
    Lack,
    Legacy,
    Operation,
    Rekey,
    Truncate,
    TypeCase,
    Update,
)
from bridge.kit.connector.sql import SqlLegacy  # noqa: E402
from bridge.kit.connector.suite import ConnectorSuite  # noqa: E402

__all__ = [
    "COLUMNS",
    "KEY",
    "ConnectorSuite",
    "Create",
    "Delete",
    "Lack",
    "Legacy",
    "Operation",
    "Rekey",
    "SqlLegacy",
    "Truncate",
    "TypeCase",
    "Update",
]
