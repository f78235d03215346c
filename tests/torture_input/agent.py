"""The agent of the torture: what it does with a task follows from the task's seed alone."""

from __future__ import annotations

import inspect
from typing import Any

from bridge import Agent, Command
from tests.torture_input.hostile import Hostile

agent = Agent("fragile", attempts=1)


def answer_of(seed: int) -> Any:
    """What the handler returns for a seed; an exception: it raises that."""
    hostile = Hostile(seed)
    if seed < 0:
        return Command(
            "erp.set_order", key="canary", args={"qty": -seed, "amount": "1.00", "note": "alive"}
        )
    if hostile.random.random() < 0.25:
        return hostile.failure()
    commands = [hostile.command(f"o{seed}") for _ in range(hostile.random.choice((1, 1, 1, 2)))]
    return commands[0] if len(commands) == 1 else commands


@agent.on("erp.task", ops={"create", "read"})
async def work(event: Any, _ctx: Any) -> Any:
    answer = answer_of(event.after.seed)
    if isinstance(answer, BaseException):
        raise answer
    return answer


@agent.on("erp.orders", ops={"create", "update", "read"})
def plain(event: Any, _ctx: Any) -> None:
    """Looks at everything that a row has; in a thread, as plain handlers run."""
    for name, value in inspect.getmembers(event):
        if not name.startswith("__") and not callable(value):
            repr(value)
