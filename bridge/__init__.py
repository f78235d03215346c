"""Legacy systems as typed, ordered events; commands back to them, once.

The names that users import. Each is loaded when it is first asked for, so that
`import bridge.model` pulls in no stage and `bridgectl --help` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.agent import Agent as Agent
    from bridge.agent import NotFound as NotFound
    from bridge.agent import provenance as provenance
    from bridge.model.command import Command as Command
    from bridge.model.event import Event as Event

__version__ = "0.1.0"

_HOMES = {
    "Agent": "bridge.agent",
    "Command": "bridge.model.command",
    "Event": "bridge.model.event",
    "NotFound": "bridge.agent",
    "provenance": "bridge.agent",
}

__all__ = ["Agent", "Command", "Event", "NotFound", "__version__", "provenance"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        message = f"module 'bridge' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
