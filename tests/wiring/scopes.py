"""What a process could run, for tests of what is known of it before anything is open."""

from __future__ import annotations

from bridge import Agent
from bridge.wiring.run_scope import RunScope


def scope_of_everything() -> RunScope:
    """A bridge `acme` that captures, reads and writes a system `erp`, with an agent `watch`."""
    agent = Agent("watch")

    @agent.on("erp.thing")
    async def check(event: object, ctx: object) -> None:
        del event, ctx

    return RunScope(
        bridge="acme",
        captured=("erp",),
        executed=("erp",),
        read=("erp",),
        agents=(agent,),
        entities={"erp": ("erp.thing", "erp.other")},
    )
