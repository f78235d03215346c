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

import pytest

for _module in (
    "compaction",
    "crashes",
    "groups",
    "model",
    "owned",
    "reading",
    "records",
    "topics",
    "transactions",
):
    pytest.register_assert_rewrite(f"bridge.kit.log.{_module}")

from bridge.kit.log.suite import LogSuite  # noqa: E402 - after its modules are registered
from bridge.kit.log.under_test import LogUnderTest  # noqa: E402

__all__ = ["LogSuite", "LogUnderTest"]
