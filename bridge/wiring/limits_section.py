"""What `bridgectl status` says of how a system is protected. Pure."""

from __future__ import annotations

from bridge.gateway.limits.admission_state import AdmissionState
from bridge.wiring.gateway_reports import GatewaySection


def limits_section(state: AdmissionState) -> GatewaySection:
    """A system that is unavailable is a problem; what waits or was refused is none."""
    parts = [f"{state.in_use} of {state.connections} connections in use"]
    if state.connections < state.most:
        parts.append(f"{state.most - state.connections} less than allowed, since it refused")
    if any(state.waiting.values()):
        waiting = (f"{count} of {work}" for work, count in state.waiting.items() if count)
        parts.append(f"waiting: {', '.join(waiting)}")
    if any(state.refused.values()):
        refused = (f"{count} {cause}" for cause, count in state.refused.items() if count)
        parts.append(f"refused since the start: {', '.join(refused)}")
    if state.paused_s:
        parts.append(f"paused for {state.paused_s:.0f} s more ({state.pause_reason})")
    problem = ""
    if state.breaker != "closed":
        probe = (
            "one query probes it now"
            if state.breaker == "half_open"
            else f"the next probe may go in {state.probe_s:.1f} s"
        )
        problem = (
            f"unavailable since {state.failing_s:.0f} s: {state.failures} queries failed in a row "
            f"({state.reason}); {probe}"
        )
    return GatewaySection("; ".join(parts), state._asdict(), problem)
