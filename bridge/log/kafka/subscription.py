"""What a member of a group subscribes to, by the metadata that it sent to its group.

Source: https://kafka.apache.org/protocol#The_Messages_JoinGroup ("consumer" protocol metadata)
"""

from __future__ import annotations

from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata


def subscription(metadata: bytes) -> frozenset[str]:
    """The topics in a member's metadata; none where other programs put something else there."""
    try:
        return frozenset(ConsumerProtocolMemberMetadata.decode(metadata).subscription)
    except (ValueError, TypeError):
        # aiokafka's decoder raises ValueError for what is cut short or no UTF-8.
        return frozenset()
