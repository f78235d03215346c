"""Runs the parts of a bridge concurrently until they have to stop.

A part that fails does not affect the others: its error is kept, and the others continue.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bridge.agent import Agent
from bridge.agent.group import agent_group
from bridge.commands.group import executor_group
from bridge.config import Config
from bridge.gateway.copy.system_copy import FollowedCopy
from bridge.log.registry.remembered import RememberedRegistry
from bridge.model.error_text import describe_error, error_message
from bridge.model.errors import BridgeError, ConfigurationError, OutcomeUnknown, RetryLater
from bridge.observe import Observer, PartState
from bridge.retry import RetryPolicy, retry
from bridge.wiring import garbage_collection
from bridge.wiring.bridge import Bridge, open_bridge
from bridge.wiring.log_watch import LogWatch
from bridge.wiring.system_copies import copy_section, run_copy
from bridge.wiring.system_views import ViewLife

T = TypeVar("T")
Work = Callable[[asyncio.Event], Awaitable[None]]
SHORTEST, LONGEST = 0.2, 30.0
TRACE_FRAMES = 5
#: One attempt to open the log costs next to nothing, and nothing runs until it is there.
LONGEST_OPENING = 5.0
#: Seconds that a part which was begun again has to last until it counts as running.
SETTLED_S = 5.0
#: Seconds until a copy that the log refuses to let follow is tried again.
COPY_REFUSED_S = 60.0
#: Seconds after which the registry's ids are compared with what the log remembers again.
VERIFY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class BridgePart:
    """One thing that runs: `kind` is capture, gateway, copy, agent, commands or registry, `name` whose. `watches`:
    it only looks after the others, and ends with them.
    """

    kind: str
    name: str
    work: Work
    watches: bool = False


@dataclass(slots=True)
class PartsEnded:
    """What became of the parts: those that gave up, with what they said."""

    failed: dict[str, str] = field(default_factory=dict)


def build_parts(bridge: Bridge, agents: Sequence[Agent], kinds: Iterable[str]) -> list[BridgePart]:
    """The parts of these kinds, in the order in which data flows; and what looks after them."""
    wanted = set(kinds)
    bridge_parts: list[BridgePart] = []
    if "capture" in wanted:
        bridge_parts += [
            BridgePart("capture", name, _capture(bridge, name))
            for name in bridge.systems
            if bridge.system(name)[0].capabilities().capture
        ]
    if "gateway" in wanted:
        bridge_parts += [
            BridgePart("gateway", name, _gateway(bridge, name))
            for name, config in bridge.systems.items()
            if config.gateway is not None
        ]
    if "agents" in wanted:
        bridge_parts += _copies(bridge) if agents else []
        bridge_parts += [BridgePart("agent", agent.name, _agent(bridge, agent)) for agent in agents]
    if "commands" in wanted:
        bridge_parts += [
            BridgePart("commands", name, _commands(bridge, name))
            for name, config in bridge.systems.items()
            if config.spec.commands
        ]
    if isinstance(bridge.registry, RememberedRegistry):
        work = _verify(bridge.registry)
        bridge_parts.append(BridgePart("registry", bridge.registry.name, work, watches=True))
    return bridge_parts


@asynccontextmanager
async def open_when_available(
    config: Config, stop: asyncio.Event, observer: Observer
) -> AsyncIterator[Bridge | None]:
    """The bridge of `config`, open; its log and registry are waited for, and each time that one
    is unavailable is told. None when `stop` was set first.
    """
    async with AsyncExitStack() as stack:

        async def begin() -> Bridge:
            return await stack.enter_async_context(open_bridge(config, observer, runs=True))

        bridge = await _patiently(
            begin, stop, lambda why: _say(observer, config.bridge, why), LONGEST_OPENING
        )
        if bridge is not None:
            await stack.enter_async_context(bridge.group_reports.written(stop))
            watch = LogWatch(bridge.log, config, observer)
            await stack.enter_async_context(watch.watching(stop))
        yield bridge


def _say(observer: Observer, bridge: str, reason: str) -> None:
    observer(PartState("bridge", bridge, "retrying", reason))


async def _patiently(
    work: Callable[[], Awaitable[T]],
    stop: asyncio.Event,
    report_failure: Callable[[str], None],
    longest: float = LONGEST,
) -> T | None:
    """The result of `work`, which is restarted while something it needs is unavailable; None once
    `stop` is set.
    """

    async def work_unless_stopped() -> T | None:
        return None if stop.is_set() else await work()

    return await retry(
        work_unless_stopped,
        RetryPolicy(
            first_wait_s=SHORTEST,
            max_wait_s=longest,
            may_pass=lambda error: isinstance(error, (RetryLater, OutcomeUnknown)),
        ),
        report=lambda _, reason: report_failure(reason),
        sleep=lambda seconds: _sleep(seconds, stop),
    )


async def run_parts(
    running: Sequence[BridgePart],
    stop: asyncio.Event,
    observer: Observer,
    on_failure: Callable[[], None] = lambda: None,
) -> PartsEnded:
    """Run all until `stop` is set or every part has given up. `on_failure` is called each time that
    one does, once its reason is told.

    A defect (any error that the bridge does not raise on purpose) ends the part that it is in, like
    an error that is raised on purpose; its notice says where it is from.
    """
    ended = PartsEnded()
    with garbage_collection.collect_garbage_rarely():
        async with asyncio.TaskGroup() as group:
            tasks = {
                part: group.create_task(_supervised(part, stop, observer, ended, on_failure))
                for part in running
            }
            working = [task for part, task in tasks.items() if not part.watches]
            if working:
                await asyncio.wait(working)
            for part, task in tasks.items():
                if part.watches:
                    task.cancel()
    return ended


async def _supervised(
    part: BridgePart,
    stop: asyncio.Event,
    observer: Observer,
    ended: PartsEnded,
    on_failure: Callable[[], None],
) -> None:
    """A part whose log or system is unavailable is restarted; other errors end only this part."""

    def say(state: str, reason: str = "") -> None:
        observer(PartState(part.kind, part.name, state, reason))

    is_retry = False

    async def work() -> None:
        if not is_retry:
            say("running")
            await part.work(stop)
            return
        # What fails again at once was not running.
        settling = asyncio.get_running_loop().call_later(SETTLED_S, say, "running")
        try:
            await part.work(stop)
        finally:
            settling.cancel()

    def retrying(reason: str) -> None:
        nonlocal is_retry
        is_retry = True
        say("retrying", reason)

    def give_up(reason: str) -> None:
        ended.failed[f"{part.kind} {part.name}"] = reason
        say("failed", reason)
        on_failure()

    try:
        await _patiently(work, stop, retrying)
        say("stopped")
    except BridgeError as error:
        give_up(error_message(error))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody wants it to end: something that it waited for was cancelled.
        give_up(_defect(error))
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - it ends this part, and is told
        give_up(_defect(error))


def _defect(error: BaseException) -> str:
    """The report of an unexpected error: its message, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)[-TRACE_FRAMES:]
    trace = ", ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in reversed(frames))
    return f"a defect, please report it: {describe_error(error)} (in {trace or 'an unknown place'})"


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


def _gateway(bridge: Bridge, name: str) -> Work:
    async def work(stop: asyncio.Event) -> None:
        from bridge.wiring.owned_reads import OwnedReads

        await OwnedReads(bridge, name, bridge.instance).run(stop)

    return work


def _copies(bridge: Bridge) -> list[BridgePart]:
    """What keeps up what gateways answer from; made before these are."""
    parts = []
    for name in bridge.systems:
        try:
            copy = bridge.copy(name)
        except ConfigurationError:
            continue  # who reads that system hears why
        if copy is not None:
            parts.append(BridgePart("copy", name, _copy(bridge, name, copy), watches=True))
    return parts


def _copy(bridge: Bridge, name: str, copy: FollowedCopy) -> Work:
    async def work(stop: asyncio.Event) -> None:
        await bridge.create_topics()
        sections, view = bridge.group_reports.gateways, ViewLife(bridge, name, copy)
        with (
            sections.section(name, "copy", lambda: copy_section(copy.status(time.monotonic()))),
            sections.section(name, "view", view.section),
        ):
            viewing = asyncio.ensure_future(view.run())
            try:
                await run_copy(copy, stop)
            except ConfigurationError as error:
                # Without it every read is live, which is no reason for the process to be unhealthy.
                raise RetryLater(
                    f"reads of {name} are all live, since its changes can't be followed: {error}",
                    after=COPY_REFUSED_S,
                ) from error
            finally:
                viewing.cancel()
                await asyncio.gather(viewing, return_exceptions=True)

    return work


def _verify(registry: RememberedRegistry) -> Work:
    async def work(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await registry.verify()
            await _sleep(VERIFY_EVERY_S, stop)

    return work


def _agent(bridge: Bridge, agent: Agent) -> Work:
    async def work(stop: asyncio.Event) -> None:
        await bridge.create_topics()
        reads, commands = await bridge.agent_access()
        with bridge.group_reports.of(agent_group(bridge.name, agent.name)):
            await bridge.agent(agent, reads, commands).run(stop)

    return work


def _commands(bridge: Bridge, name: str) -> Work:
    async def work(stop: asyncio.Event) -> None:
        await bridge.create_topics()
        executor = await bridge.executor(name)
        with bridge.group_reports.of(executor_group(bridge.name, name)):
            await executor.run(stop)

    return work
