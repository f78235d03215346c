"""OData services, V4 and V2: SAP S/4HANA, Business One, Dynamics 365, SAP CAP and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connectors.odata.connector import connector

__all__ = ["connector"]


def __getattr__(name: str) -> object:
    """Loads the connector when it is asked for: the pure parts need none of its HTTP."""
    if name == "connector":
        from connectors.odata.connector import connector

        return connector
    raise AttributeError(name)
