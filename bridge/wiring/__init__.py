"""The only place that builds things, in the order in which data flows.

`opened(config)` gives a `Bridge`: the log, the registry and the codec, open; and from it the
parts of capture, gateway, agents and commands, each built when it is asked for.
"""

from __future__ import annotations

from bridge.wiring.bridge import Bridge, open_bridge
from bridge.wiring.connectors import connector_names, load_connector

__all__ = ["Bridge", "connector_names", "load_connector", "open_bridge"]
