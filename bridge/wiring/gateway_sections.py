"""What an open gateway reports of itself to `bridgectl status`."""

from __future__ import annotations

from collections.abc import Callable

from bridge.gateway import Gateway
from bridge.gateway.audited_copy import audit_summary
from bridge.wiring.gateway_reports import GatewaySection
from bridge.wiring.limits_section import limits_section


def gateway_sections(gateway: Gateway) -> dict[str, Callable[[], GatewaySection]]:
    """Section -> reads it."""
    sections: dict[str, Callable[[], GatewaySection]] = {
        "answers": lambda: _answers(gateway),
        "limits": lambda: limits_section(gateway.limiter.state()),
    }
    auditor = gateway.auditor
    if auditor is not None:
        sections["audit"] = lambda: GatewaySection(*audit_summary(auditor))
    return sections


def _answers(gateway: Gateway) -> GatewaySection:
    entities = {
        entity: {
            **answers.by_source,
            "misses": dict(answers.misses),
            "oldest_seconds": answers.oldest,
        }
        for entity, answers in gateway.answers.entities.items()
    }
    return GatewaySection(gateway.answers.summary(), entities)
