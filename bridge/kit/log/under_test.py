"""The log that the suite runs against, and what is different from log to log, as data."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.log.port import Log


@dataclass(frozen=True, slots=True)
class LogUnderTest:
    """How to build clients of one log, here and in other processes.

    `build` is a dotted callable (`package.module:function`), called with `url` and `options`
    (which must survive JSON); it returns a Log that is not opened yet. Each call makes another
    client of the same log.

    `session_timeout`: seconds, the shortest session in which a member of this log lives well, on a
    machine that is slow for seconds too.
    `takes_over_within`: seconds from a member's death to the first records of its partitions at
    another member, session included.
    `compact`: makes the log compact a topic as soon as it may (None: it does so by itself);
    `compacts_within`: how many seconds that may take.
    `idle_cpu`: the share of a core that a waiting reader may use.
    `examples`: how many random histories are compared with the model.
    """

    build: str
    url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    session_timeout: float = 3.0
    takeover_timeout_s: float = 60.0
    compact: Callable[[Log, str], Awaitable[None]] | None = None
    compaction_timeout_s: float = 60.0
    idle_cpu: float = 0.05
    examples: int = 20

    def make(self) -> Log:
        """Another client of the log, not opened yet."""
        return make(self.build, self.url, self.options)

    def name(self, what: str) -> str:
        """A topic, group or transactional id that nobody else uses."""
        return f"kit{secrets.token_hex(4)}.{what}"


def make(build: str, url: str, options: Mapping[str, Any]) -> Log:
    """Call the dotted callable `build`."""
    module, _, function = build.partition(":")
    log: Log = getattr(importlib.import_module(module), function)(url, **options)
    return log
