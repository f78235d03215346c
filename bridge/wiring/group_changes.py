"""Changes of consumer groups that only a person makes."""

from __future__ import annotations

from bridge.log.port import GroupInfo, Log
from bridge.wiring.group_state import UNFINISHED


def live_members(group: GroupInfo) -> str:
    """Why nothing of a group can be changed now; empty where it can. Pure."""
    if not group.members:
        return ""
    return f"group {group.name!r} has live members ({', '.join(group.members)}): stop them first"


async def delete_group(log: Log, group: str, state: str) -> None:
    """Delete a group with its offsets.

    state: of the group, by `group_state`
    """
    if state == UNFINISHED:
        # A replay is no member. Its producer is taken away, so that it commits no more: what it
        # did after the deletion would look like all that it ever did.
        await (await log.producer(group)).close()
    await log.delete_group(group)
