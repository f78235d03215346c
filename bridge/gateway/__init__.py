"""The gateway: few, batched reads of legacy systems.

get / get_many / related / query  ->  Batcher  ->  Limiter  ->  the connector's Reader
"""

from bridge.gateway.gateway import Gateway
from bridge.gateway.limit import Limiter
from bridge.gateway.systems import Systems

__all__ = ["Gateway", "Limiter", "Systems"]
