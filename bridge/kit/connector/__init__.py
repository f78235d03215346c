"""The acceptance suite of connectors: subclass `ConnectorSuite`, give it a `Legacy`."""

from bridge.kit.connector.legacy import (
    COLUMNS,
    KEY,
    Create,
    Delete,
    Legacy,
    Operation,
    Rekey,
    Truncate,
    TypeCase,
    Update,
)
from bridge.kit.connector.sql import SqlLegacy
from bridge.kit.connector.suite import ConnectorSuite

__all__ = [
    "COLUMNS",
    "KEY",
    "ConnectorSuite",
    "Create",
    "Delete",
    "Legacy",
    "Operation",
    "Rekey",
    "SqlLegacy",
    "Truncate",
    "TypeCase",
    "Update",
]
