"""Runs the parts of a bridge side by side until they are told to stop.

A part that gives up does not take the others with it: what it said is kept, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from bridge.agent import Agent
from bridge.model.errors import BridgeError, OutcomeUnknown, RetryLater
from bridge.observe import Observer, PartState
from bridge.wiring import garbage
from bridge.wiring.bridge import Bridge

Work = Callable[[asyncio.Event], Awaitable[None]]
SHORTEST, LONGEST = 0.2, 30.0


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that runs: `kind` is capture, agent or commands, `name` whose."""

    kind: str
    name: str
    work: Work


@dataclass(slots=True)
class Ended:
    """What became of the parts: those that gave up, with what they said."""

    failed: dict[str, str] = field(default_factory=dict)


def parts(bridge: Bridge, agents: Sequence[Agent], kinds: Iterable[str]) -> list[Part]:
    """The parts of these kinds, in the order in which data flows."""
    wanted = set(kinds)
    found: list[Part] = []
    if "capture" in wanted:
        found += [
            Part("capture", name, _capture(bridge, name))
            for name in bridge.systems
            if bridge.system(name)[0].capabilities().capture
        ]
    if "agents" in wanted:
        found += [Part("agent", agent.name, _agent(bridge, agent)) for agent in agents]
    if "commands" in wanted:
        found += [
            Part("commands", name, _commands(bridge, name))
            for name, config in bridge.systems.items()
            if config.spec.commands
        ]
    return found


async def run(running: Sequence[Part], stop: asyncio.Event, observer: Observer) -> Ended:
    """Run all until `stop` is set or every part has given up."""
    ended = Ended()
    with garbage.seldom():
        await asyncio.gather(*(_supervised(part, stop, observer, ended) for part in running))
    return ended


async def _supervised(part: Part, stop: asyncio.Event, observer: Observer, ended: Ended) -> None:
    """A part whose log or system is away is begun again; other errors end it."""

    def say(state: str, reason: str = "") -> None:
        observer(PartState(part.kind, part.name, state, reason))

    try:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((RetryLater, OutcomeUnknown)),
            wait=wait_random_exponential(SHORTEST, LONGEST),
            before_sleep=lambda state: say(
                "retrying", str(state.outcome.exception() if state.outcome else "")
            ),
            sleep=lambda seconds: _sleep(seconds, stop),
            reraise=True,
        ):
            with attempt:
                if stop.is_set():
                    break
                say("running")
                await part.work(stop)
        say("stopped")
    except BridgeError as error:
        ended.failed[f"{part.kind} {part.name}"] = str(error)
        say("failed", str(error))


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def _capture(bridge: Bridge, name: str) -> Work:
    async def work(stop: asyncio.Event) -> None:
        capturing = asyncio.ensure_future(bridge.capture(name).run())
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({capturing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if capturing.done():
                capturing.result()
        finally:
            for task in (capturing, stopping):
                task.cancel()
            await asyncio.gather(capturing, stopping, return_exceptions=True)

    return work


def _agent(bridge: Bridge, agent: Agent) -> Work:
    async def work(stop: asyncio.Event) -> None:
        await bridge.create_topics()
        reads, commands = await bridge.reads(), await bridge.commands()
        await bridge.agent(agent, reads, commands).run(stop)

    return work


def _commands(bridge: Bridge, name: str) -> Work:
    async def work(stop: asyncio.Event) -> None:
        await bridge.create_topics()
        await (await bridge.executor(name)).run(stop)

    return work
