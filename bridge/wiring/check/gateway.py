"""What `check` says of the process that reads a system for all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bridge.config import Config, SystemConfig
from bridge.wiring.check.result import CheckResult, result_of_problem
from bridge.wiring.readers import gateway_address


def gateway_findings(config: Config, system: SystemConfig) -> Iterator[CheckResult]:
    """Where that process is asked, or why it can't be; nothing for a system without one."""
    address = gateway_address(config, system)
    if address is None or system.gateway is None:
        return
    from bridge.gateway.remote.address import path_problem

    if address.path and (what := path_problem(Path(address.path))):
        hint = "name a shorter one, such as socket: /run/bridge/erp.sock"
        yield result_of_problem(system.document.problem(("gateway", "socket"), what, hint))
        return
    what = (
        f"reads: by one process at {address} (bridgectl run --only gateway); another takes over "
        f"{system.gateway.lease_s:g} s after its last word"
    )
    yield CheckResult("ok", "system", what, f"system {system.spec.name}")
