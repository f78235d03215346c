"""PostgreSQL 14 and later: logical replication, snapshots, lookups and commands."""

from connectors.postgres.connector import connector

__all__ = ["connector"]
