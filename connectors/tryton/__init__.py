"""Tryton, an open-source ERP, over JSON-RPC."""

from connectors.tryton.connector import connector

__all__ = ["connector"]
