"""Change capture through a journal table and triggers, for databases without a change feed."""

from connectors.journal.connector import JournalConnector, JournalOptions, connector

__all__ = ["JournalConnector", "JournalOptions", "connector"]
