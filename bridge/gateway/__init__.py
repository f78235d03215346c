"""The gateway: few, batched reads of legacy systems.

get / get_many / related / query  ->  Batcher  ->  Limiter  ->  the connector's Reader
"""

from bridge.gateway.gateway import Gateway
from bridge.gateway.gateways import Gateways
from bridge.gateway.limiter import Limiter

__all__ = ["Gateway", "Gateways", "Limiter"]
