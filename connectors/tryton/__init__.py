"""Tryton, an open-source ERP, over JSON-RPC.

| folder | what it does |
|---|---|
| `protocol` | JSON-RPC values, domains, whether an answer fits its question |
| `http` | address, session, calls and their errors |
| `metadata` | models and fields; a model as a table |
| `capture` | source, snapshot, checkpoint |
| `commands` | statements, writer, probe |
"""

from connectors.tryton.connector import connector

__all__ = ["connector"]
