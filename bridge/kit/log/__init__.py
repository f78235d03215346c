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

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.kit.log.suite import LogSuite as LogSuite
    from bridge.kit.log.under_test import LogUnderTest as LogUnderTest

__all__ = ["LogSuite", "LogUnderTest"]

_HOMES = {"LogSuite": "suite", "LogUnderTest": "under_test"}
_ASSERTING = (
    "compaction",
    "crashes",
    "groups",
    "model",
    "owned",
    "reading",
    "records",
    "topics",
    "transactions",
)


def __getattr__(name: str) -> Any:
    """Loaded when it is asked for: the suite's child processes, which are many, need no pytest."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    for module in _ASSERTING:
        # Before the parts are imported: their assertions then say what they compared.
        if f"{__name__}.{module}" not in sys.modules:
            pytest.register_assert_rewrite(f"{__name__}.{module}")
    return getattr(import_module(f"{__name__}.{home}"), name)
