"""The topics that a group member subscribes to, from the metadata that it sent to its group.

Source: https://kafka.apache.org/protocol#The_Messages_JoinGroup ("consumer" protocol metadata)
"""

from __future__ import annotations

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata


def subscription(metadata: bytes) -> frozenset[str]:
    """The topics in a member's metadata; none if another program put something else there."""
    try:
        return frozenset(ConsumerProtocolMemberMetadata.decode(metadata).subscription)
    except (ValueError, TypeError):
        # aiokafka's decoder raises ValueError for truncated data or invalid UTF-8.
        return frozenset()
