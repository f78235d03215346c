"""Follows change topics, dead letters and checkpoints of a system, without a group."""

from __future__ import annotations

from bridge.gateway.follower.contract import AppliesRecords
from bridge.gateway.follower.follower import Follower
from bridge.gateway.follower.source_transactions import SourceTransaction, SourceTransactions

__all__ = ["AppliesRecords", "Follower", "SourceTransaction", "SourceTransactions"]
