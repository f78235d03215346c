"""Sections of gateways: through the log to another process, whatever a piece of a gateway reports."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log
from bridge.wiring.gateway_reports import (
    MAX_SUMMARY,
    GatewayReport,
    GatewayReports,
    GatewaySection,
    load_gateway_report,
)
from bridge.wiring.group_reports import GroupReports, reported_gateways
from tests.waiting import until


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    log = EmbeddedLog(tmp_path / "log.db")
    await log.open()
    yield log
    await log.close()


def dump(reports: GatewayReports) -> list[dict[str, Any]]:
    """As another process gets them."""
    rows: list[dict[str, Any]] = json.loads(json.dumps(reports.dump()))
    return rows


async def test_another_process_reads_what_a_section_says_and_its_end(log: Log) -> None:
    reports = GroupReports(log, "acme", "host-1")
    stop = asyncio.Event()

    async def read() -> list[GatewayReport]:
        return await reported_gateways(log, "acme", time.time_ns() // 1000)

    async def is_empty() -> bool:
        return not await read()

    section = GatewaySection("12 rows are held", {"rows": 12}, "the disk is full")
    async with reports.written(stop, every_s=0.01):
        with reports.gateways.section("erp", "copy", lambda: section):
            await until(read)
            [report] = await read()
            assert (report.system, report.section, report.process) == ("erp", "copy", "host-1")
            assert report.summary == "12 rows are held"
            assert report.facts == {"rows": 12}
            assert report.problem == "the disk is full"
        await until(is_empty)
        stop.set()


def test_a_section_that_fails_or_reports_what_is_no_json_says_so_and_spares_the_others() -> None:
    def fail() -> GatewaySection:
        raise ZeroDivisionError("division by zero")

    reports = GatewayReports()
    assert not reports
    with (
        reports.section("erp", "a", fail),
        reports.section("erp", "b", lambda: GatewaySection("fine", {"at": object()})),
        reports.section("erp", "c", lambda: GatewaySection("fine", {"long": "x" * 20_000})),
        reports.section("erp", "d", lambda: GatewaySection("s" * 10_000, {"rows": 1})),
    ):
        assert reports
        failed, no_json, too_long, fine = dump(reports)
    assert "ZeroDivisionError" in failed["problem"]
    assert "object" in no_json["facts"]["left_out"]
    assert "20012 bytes" in too_long["facts"]["left_out"]
    assert fine["facts"] == {"rows": 1}
    assert len(fine["summary"]) == MAX_SUMMARY


def test_the_newer_section_of_a_name_replaces_the_other_whichever_ends_first() -> None:
    reports = GatewayReports()
    with reports.section("erp", "copy", lambda: GatewaySection("old")):
        with reports.section("erp", "copy", lambda: GatewaySection("new")):
            assert [row["summary"] for row in dump(reports)] == ["new"]
        assert dump(reports) == []
    newer = reports.section("erp", "copy", lambda: GatewaySection("new"))
    with reports.section("erp", "copy", lambda: GatewaySection("old")):
        newer.__enter__()
    assert [row["summary"] for row in dump(reports)] == ["new"]
    newer.__exit__(None, None, None)


@pytest.mark.parametrize("change", [{"facts": [1]}, {"system": None, "facts": None}])
def test_what_is_no_section_is_refused(change: dict[str, Any]) -> None:
    reports = GatewayReports()
    with reports.section("erp", "copy", lambda: GatewaySection("fine")):
        [row] = dump(reports)
    with pytest.raises((TypeError, KeyError)):
        load_gateway_report({**row, **change}, "host", 1)
