"""Connector of legacy-bridge to Ticketdesk, registered in pyproject.toml."""

from .connector import TicketdeskConnector

connector = TicketdeskConnector()
