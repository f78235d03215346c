"""What each connector that ships with the bridge offers."""

from __future__ import annotations

from dataclasses import fields

from bridge.connector import Capabilities
from tests.docs.site.reference.configuration import CONNECTORS
from tests.docs.site.reference.table import code, table

HEAD = """# Capabilities of connectors

Made from what the connectors declare. `bridgectl status` shows the same of each system, and the acceptance suite
holds a connector to it. What each capability means: [`Capabilities`][bridge.connector.Capabilities]; what
lies behind it is on the pages of [PostgreSQL](../postgres.md), the [journal](../journal.md), [OData](../odata.md)
and [Tryton](../tryton.md).
"""


def capabilities_page() -> str:
    """The whole page."""
    offered = [connector.capabilities() for connector in CONNECTORS.values()]
    rows = [
        (code(field.name), *(_text(getattr(each, field.name)) for each in offered))
        for field in fields(Capabilities)
    ]
    return f"{HEAD}\n{table(('capability', *CONNECTORS), rows)}\n"


def _text(value: str | bool) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else code(value)
