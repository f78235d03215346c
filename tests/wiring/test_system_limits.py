"""Which limits hold: the file's, then the maker's published ones, then the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.config import load
from bridge.connector import PublishedLimits
from bridge.model.specs import SystemLimits, WindowLimit
from bridge.wiring.connectors import build_system, load_connector
from bridge.wiring.system_limits import effective_limits, limit_findings, part_system
from connectors.odata.published_limits import BUSINESS_CENTRAL, DATAVERSE, published_limits

PUBLISHED = PublishedLimits(
    "Acme", SystemLimits(connections=3, windows=(WindowLimit(10, 60),)), "https://acme/limits"
)


def test_what_the_file_sets_holds_whatever_is_published() -> None:
    limits = SystemLimits(connections=9, windows=(WindowLimit(99, 60),))
    written = frozenset({"connections", "windows"})
    assert effective_limits(limits, written, PUBLISHED) == limits


def test_what_is_published_stands_in_for_what_the_file_leaves_out() -> None:
    limits = SystemLimits(max_rows=7)
    assert effective_limits(limits, frozenset({"max_rows"}), PUBLISHED) == SystemLimits(
        connections=3, windows=(WindowLimit(10, 60),), max_rows=7
    )
    assert effective_limits(limits, frozenset({"max_rows"}), None) == limits


def test_a_published_maximum_raises_no_default() -> None:
    published = PUBLISHED._replace(limits=SystemLimits(connections=100))
    assert effective_limits(SystemLimits(), frozenset(), published).connections == 4


def config_of(folder: Path, url: str, limits: str = "{}", capture: str = "{}") -> Any:
    (folder / "bridge.yaml").write_text("bridge: acme\nlog: sqlite:///b.db\nsystems: erp.yaml\n")
    (folder / "erp.yaml").write_text(
        f"system: erp\nconnector: odata\nurl: {url}\nlimits: {limits}\ncapture: {capture}\n"
        "entities: {account: {from: accounts}}\n"
    )
    return load(folder / "bridge.yaml", {}).systems[0]


@pytest.mark.parametrize(
    ("url", "capture", "published"),
    [
        ("https://acme.crm4.dynamics.com/api/data/v9.2/", "{}", DATAVERSE),
        (
            "https://api.businesscentral.dynamics.com/v2.0/x/Production/ODataV4/",
            "{}",
            BUSINESS_CENTRAL,
        ),
        ("https://acme.crm4.dynamics.com.evil.org/", "{}", None),
        ("https://acme.operations.dynamics.com/data/", "{}", None),
        ("https://erp.acme.com/odata/", "{}", None),
        ("https://erp.acme.com/odata/", "{service: dataverse}", DATAVERSE),
        ("https://acme.crm4.dynamics.com/api/data/v9.2/", "{service: other}", None),
    ],
)
def test_the_service_is_known_by_its_host_or_by_name(
    tmp_path: Path, url: str, capture: str, published: PublishedLimits | None
) -> None:
    config = config_of(tmp_path, url, capture=capture)
    assert published_limits(build_system("acme", config, load_connector(config))) is published


def test_check_says_which_limits_hold_and_where_each_is_from(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        "https://acme.crm4.dynamics.com/api/data/v9.2/",
        "{max_rows: 500, connections: 60}",
    )
    connector = load_connector(config)
    system = build_system("acme", config, connector)
    assert system.connections == system.limits.connections == 60
    holding, connections, page, warning = limit_findings(config, connector, system)
    assert holding.message == (
        "limits of its reads: 60 connections for reads (erp.yaml), 6000 requests in 300 s, 1200 seconds in "
        "300 s (published for Dataverse), 1000 operations per $batch (published for Dataverse), "
        "500 rows per answer (erp.yaml)"
    )
    assert connections.message == (
        "connections: at most 66: 4 capture (polls, snapshot, metadata, deleted rows), "
        "1 catalogue (metadata), 1 surfaces (bridgectl get, check and others), 60 reads"
    )
    assert DATAVERSE.page in page.message
    assert (warning.severity, warning.location) == ("warning", "erp.yaml:4")
    assert (
        "60 connections for reads is more than Dataverse publishes: 52 connections for reads"
        in warning.message
    )


@pytest.mark.parametrize(
    ("windows", "warns"),
    [
        ("[{requests: 6000, per: 5m}, {seconds: 1200, per: 5m}]", False),
        ("[{requests: 20, per: 1s}, {seconds: 1200, per: 5m}]", False),
        ("[{requests: 6001, per: 5m}, {seconds: 1200, per: 5m}]", True),
        ("[{requests: 6000, per: 5m}]", True),
        ("[]", True),
    ],
)
def test_a_window_that_lets_more_through_than_the_published_one_is_reported(
    tmp_path: Path, windows: str, warns: bool
) -> None:
    config = config_of(tmp_path, "https://acme.crm4.dynamics.com/", f"{{windows: {windows}}}")
    connector = load_connector(config)
    results = list(limit_findings(config, connector, build_system("acme", config, connector)))
    assert ("warning" in [result.severity for result in results]) == warns


def test_a_ceiling_that_leaves_nothing_for_reads_is_an_error_at_its_line(tmp_path: Path) -> None:
    config = config_of(tmp_path, "https://erp.acme.com/odata/", "{total_connections: 6}")
    connector = load_connector(config)
    system = build_system("acme", config, connector)
    _, error = limit_findings(config, connector, system)
    assert (error.severity, error.location) == ("configuration", "erp.yaml:4")
    assert "limits.total_connections: no connection is left for reads" in error.message
    assert "7 or more are needed" in error.message


@pytest.mark.parametrize(("total", "reads", "surface"), [(0, 4, 4), (8, 2, 1), (99, 4, 1)])
def test_reads_have_what_the_ceiling_leaves_and_surfaces_their_own(
    tmp_path: Path, total: int, reads: int, surface: int
) -> None:
    config = config_of(tmp_path, "https://erp.acme.com/odata/", f"{{total_connections: {total}}}")
    connector = load_connector(config)
    system = build_system("acme", config, connector)
    assert system.connections == reads
    assert build_system("acme", config, connector, surface=True).connections == surface
    assert part_system(system).connections == (1 if total else reads)
