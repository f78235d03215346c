"""Follows change topics, dead letters and checkpoints of a system, without a group."""

from __future__ import annotations

from bridge.gateway.follower.contract import AppliesRecords
from bridge.gateway.follower.topic_follower import TopicFollower
from bridge.gateway.follower.transaction_grouping import TransactionGrouping, WholeTransaction

__all__ = ["AppliesRecords", "TopicFollower", "TransactionGrouping", "WholeTransaction"]
