"""The protection of one system: what may start now, what waits, and what is refused.

Decisions only, with the clock handed in; `bridge.gateway.limiter` waits and wakes.
"""

from bridge.gateway.limits.ceiling import QUERY, Admission, Ceiling, Cost, Refusal, Wait
from bridge.gateway.limits.ceilings import Ceilings

__all__ = ["QUERY", "Admission", "Ceiling", "Ceilings", "Cost", "Refusal", "Wait"]
