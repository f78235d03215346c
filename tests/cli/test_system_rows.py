"""The rows of systems that `bridgectl status` shows."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.capture.report import status_record
from bridge.capture.report.status_record import SourceStatus
from bridge.wiring.status import system_rows as module

STARTED_AT, READ_AT = 1_000_000_000, 1_007_000_000
"""Microseconds: when the command began, and when it had read the reports."""


async def test_ages_are_as_of_the_time_at_which_the_reports_were_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A report that was written since the command began is not from a time to come."""
    now = STARTED_AT

    async def statuses(_log: Any, _bridge: str) -> Mapping[str, SourceStatus]:
        nonlocal now
        now = READ_AT
        return {"erp": SourceStatus("erp", "streaming", at=now, progressed_at=now)}

    async def no_change_detection(_bridge: Any, _name: str) -> dict[str, Any]:
        return {}

    def age_row(_bridge: Any, _name: str, status: SourceStatus, at: int) -> dict[str, Any]:
        return {"age": status.age(at)}

    monkeypatch.setattr(status_record, "statuses", statuses)
    monkeypatch.setattr(module, "system_row", age_row)
    monkeypatch.setattr(module, "_change_detection", no_change_detection)
    monkeypatch.setattr(module, "time", SimpleNamespace(time_ns=lambda: now * 1000))
    bridge: Any = SimpleNamespace(log=None, name="acme", systems=["erp"])
    assert await module.system_rows(bridge) == [{"age": 0.0}]
