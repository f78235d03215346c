"""`check` says where the process is asked that reads a system for all others."""

from __future__ import annotations

from pathlib import Path

from bridge.config.load import load
from bridge.wiring.check.gateway import gateway_findings
from bridge.wiring.check.result import CheckResult
from tests.config.files import BRIDGE, ENVIRON, SYSTEM, write


def findings(folder: Path, section: object = None) -> list[CheckResult]:
    system = SYSTEM if section is None else {**SYSTEM, "gateway": section}
    config = load(write(folder, BRIDGE, system), ENVIRON)
    return list(gateway_findings(config, config.systems[0]))


def test_the_address_is_said(tmp_path: Path) -> None:
    [finding] = findings(tmp_path, {"socket": "/run/bridge/erp.sock", "lease": "30s"})
    assert (finding.severity, finding.location) == ("ok", "system erp")
    assert "/run/bridge/erp.sock" in finding.message
    assert "30 s" in finding.message


def test_a_path_that_no_socket_can_have_is_a_problem_of_its_file(tmp_path: Path) -> None:
    [finding] = findings(tmp_path, {"socket": f"/run/{'x' * 100}/erp.sock"})
    assert finding.severity == "configuration"
    assert "at most 100" in finding.message
    assert "erp.yaml" in finding.location


def test_a_system_that_each_process_reads_has_none(tmp_path: Path) -> None:
    assert findings(tmp_path) == []
