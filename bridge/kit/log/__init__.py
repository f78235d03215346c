"""The acceptance suite of logs.

A whole run over an implementation of yours is this:

```python
from bridge.kit.log import LogSuite, LogUnderTest

class TestMine(LogSuite):
    @pytest.fixture
    def under_test(self, tmp_path):
        return LogUnderTest(build="mine.log:from_url", url=f"mine://{tmp_path}")
```

It needs pytest, pytest-asyncio and hypothesis. Tests use topics and groups with fresh names, so that one
server may serve them all, and at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.kit.lazy import loader

if TYPE_CHECKING:
    from bridge.kit.log.suite import LogSuite as LogSuite
    from bridge.kit.log.under_test import LogUnderTest as LogUnderTest

__all__ = ["LogSuite", "LogUnderTest"]

_HOMES = {"LogSuite": "suite", "LogUnderTest": "under_test"}
_ASSERTING = (
    "compaction",
    "crashes",
    "fencing",
    "groups",
    "high_watermarks",
    "model",
    "partition_owner",
    "reading",
    "records",
    "topics",
    "transactions",
)

__getattr__ = loader(__name__, _HOMES, _ASSERTING)
