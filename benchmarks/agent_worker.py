"""`agent_worker.py CONFIG TASK EVENTS NAME`: an agent as `bridgectl run` has it, over all events once.

TASK is `noop` (the handler returns nothing) or `answering` (it returns a command per event). Prints
one JSON object when the offsets of all events are committed: seconds from the first handled event,
CPU seconds of the process meanwhile, and the events that were handled.

Run by its path, so that PYTHONPATH decides which checkout's bridge is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from bridge import Agent, Command
from bridge.agent.group import agent_group
from bridge.config import load
from bridge.log.port import TopicPartition
from bridge.model.names import change_topic
from bridge.observe import Handled, Notice
from bridge.wiring import open_bridge
from bridge.wiring.bridge import Bridge
from bridge.wiring.run_parts import build_parts, run_parts

POLL_S = 0.02


def build_agent(task: str, name: str) -> Agent:
    """The agent of a task; each round gives it another name, and so a group of its own."""
    agent = Agent(name)

    @agent.on("erp.order", ops={"read", "create"})
    async def handle(event: Any, _ctx: Any) -> Command | None:
        if task == "noop":
            return None
        return Command("erp.note_order", key=event.key, args={"reason": "seen"})

    return agent


async def record_ends(bridge: Bridge, events: int) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition of the orders.

    The log's own end lies after the marker of the last transaction, which nobody commits.
    """
    topic = change_topic(bridge.name, "erp", "order")
    count = (await bridge.log.topics())[topic].partitions
    ends = {TopicPartition(topic, number): 0 for number in range(count)}
    reader = await bridge.log.reader(ends)
    seen = 0
    while seen < events:
        for record in await reader.read(10_000, POLL_S):
            ends[TopicPartition(record.topic, record.partition)] = record.offset + 1
            seen += 1
    await reader.close()
    return ends


async def wait_for_commit(bridge: Bridge, group: str, ends: dict[TopicPartition, int]) -> None:
    """Return once the group has committed the end of each partition."""
    while True:
        committed = await bridge.log.committed(group, ends)
        if all((committed[partition] or 0) >= end for partition, end in ends.items()):
            return
        await asyncio.sleep(POLL_S)


async def main(config: Path, task: str, events: int, name: str) -> None:
    """Handle all events, then end."""
    first: list[tuple[float, float]] = []
    handled = 0
    all_handled = asyncio.Event()

    def observe(notice: Notice) -> None:
        nonlocal handled
        if isinstance(notice, Handled) and notice.outcome == "done":
            if not handled:
                first.append((time.monotonic(), time.process_time()))
            handled += 1
            if handled >= events:
                all_handled.set()

    agent, stop = build_agent(task, name), asyncio.Event()
    async with open_bridge(load(config), observe) as bridge:
        ends = await record_ends(bridge, events)
        running = asyncio.create_task(
            run_parts(build_parts(bridge, [agent], ["agents"]), stop, observe)
        )
        await asyncio.wait(
            {running, asyncio.ensure_future(all_handled.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )
        if running.done():
            sys.exit(f"the agent ended: {running.result().failed}")
        await wait_for_commit(bridge, agent_group(bridge.name, name), ends)
        wall, cpu = time.monotonic(), time.process_time()
        stop.set()
        await running
    began, cpu_began = first[0]
    row = {"seconds": wall - began, "cpu_s": cpu - cpu_began, "events": handled}
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]))
