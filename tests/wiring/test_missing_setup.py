"""What set-up would run in a system as it is now."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bridge.connector import Connector, Finding, System
from bridge.model.errors import ConfigurationError
from bridge.wiring.missing_setup import missing_statements

SYSTEM = System("acme", "erp", "", "", None, ())


class IncompleteSystem:
    """A connector whose check finds these things; its set-up can't be complete."""

    def __init__(self, *findings: Finding) -> None:
        self._findings = findings

    async def check(self, _system: System) -> list[Finding]:
        return [*self._findings]

    async def setup(self, _system: System) -> list[Any]:
        raise ConfigurationError("table t has no primary key")


async def test_only_what_setup_can_make_is_missing() -> None:
    connector = IncompleteSystem(
        Finding("no journal", "create table j ()", fatal=True, create=True),
        Finding("no right", "grant select", fatal=True),
    )
    assert await missing_statements(cast("Connector", connector), SYSTEM) == ["create table j ()"]


async def test_where_nothing_can_be_made_set_up_says_what_keeps_it_from_being_complete() -> None:
    with pytest.raises(ConfigurationError, match="no primary key"):
        await missing_statements(cast("Connector", IncompleteSystem()), SYSTEM)
