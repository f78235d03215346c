"""`bridgectl demo`: shows everything on a made-up ERP, in under a minute."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.command_runner import finish, run_async
from bridge.cli.output.safe_text import raw_stream
from bridge.cli.params.numbers import SECONDS
from bridge.closing import close_all, close_in_thread

if TYPE_CHECKING:
    from rich.console import Console

    from bridge.cli.demo.environment import DemoEnvironment
    from bridge.cli.demo.tally import DemoTally
    from bridge.wiring import Bridge

FAILED = 1
KILL_AFTER = 5
"""The executor dies after this many legacy commits."""
QUIET = 30.0
"""Seconds in which everything has to be processed after the users have stopped."""
TAKING_OVER = (
    "killed (SIGKILL) between legacy commit and receipt; a new one is started, and waits some 10 s "
    "until the log has given up the killed one"
)
BACK_AGAIN = "killed (SIGKILL) between legacy commit and receipt; a new one has taken over"


@click.command(epilog="Example: bridgectl demo --kafka localhost:9092")
@click.option(
    "--postgres",
    metavar="URL",
    envvar="BRIDGE_DEMO_POSTGRES",
    help="Create the ERP in a new database on this server, instead of in SQLite.",
)
@click.option("--kafka", metavar="HOST:PORT", help="Use this Kafka as the log.")
@click.option("--registry", metavar="URL", help="With --kafka: a Confluent-compatible registry.")
@click.option(
    "--seconds",
    type=SECONDS,
    default=20.0,
    show_default=True,
    help="Seconds for which the users work.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bridge-demo"),
    show_default=True,
    help="Folder for its files; files of an earlier demo are replaced.",
)
def command(
    *, postgres: str | None, kafka: str | None, registry: str | None, seconds: float, folder: Path
) -> None:
    """Show everything on a made-up ERP.

    People work in a legacy ERP; their changes become events; an agent blocks orders over the
    credit limit; the process that executes its commands is killed at the worst moment.
    """
    if registry and not kafka:
        raise click.UsageError("--registry goes with --kafka")

    async def work(stop: asyncio.Event) -> int:
        from rich.console import Console

        from bridge.cli.demo.environment import prepare

        stage = prepare(folder, postgres, kafka, registry)
        os.environ["ERP_URL"] = stage.erp_url
        return await tell(stage, seconds, stop, Console(file=raw_stream(sys.stdout)))

    finish(run_async(work, ends_itself=True))


async def tell(
    stage: DemoEnvironment, seconds: float, stop: asyncio.Event, console: Console
) -> int:
    """Run the demo; 0 if all checks hold."""
    from bridge.cli.demo.environment import drop_database
    from bridge.cli.demo.screen import INTRODUCTION
    from bridge.cli.demo.tally import DemoTally
    from bridge.config import load
    from bridge.wiring import open_bridge
    from bridge.wiring.agents import load_agents
    from bridge.wiring.run_parts import build_parts, run_parts

    config = load(stage.config)
    tally = DemoTally()
    begin = time.monotonic()
    await asyncio.to_thread(stage.erp("create").wait)
    async with open_bridge(config, tally.observe) as bridge:
        connector, system = bridge.system("erp")
        await connector.setup(system)
        await bridge.create_topics()
        ending = asyncio.Event()
        running = build_parts(bridge, load_agents(config.agents), ("capture", "agents"))
        bridging = asyncio.ensure_future(run_parts(running, ending, tally.observe))
        console.print(INTRODUCTION, highlight=False, soft_wrap=True)
        showing = asyncio.ensure_future(_show(tally, console, begin, str(config.bridge)))
        try:
            code = await _act(stage, seconds, stop, bridge, tally)
        finally:
            ending.set()
            await close_all(lambda: asyncio.wait({bridging}), lambda: _cancelled(showing))
        ended = bridging.result()
        drop_database(stage)
        if stop.is_set():
            console.print("ended early; nothing was checked")
            return 0
        for name, reason in ended.failed.items():
            console.print(f"[red]{name}: {reason}[/]")
        return max(code, 1 if ended.failed else 0, await _verdict(stage, bridge, tally, console))


async def _act(
    stage: DemoEnvironment, seconds: float, stop: asyncio.Event, bridge: Bridge, tally: DemoTally
) -> int:
    """Users work, the executor is killed and restarted, and everything is processed."""
    from bridge.cli.demo.follow_log import follow

    following = asyncio.ensure_future(follow(bridge, tally))
    users = stage.erp("work", str(seconds))
    executors = [stage.executor(KILL_AFTER)]
    answered = 0
    try:
        while users.poll() is None and not stop.is_set():
            gone = executors[-1].poll()
            if gone is not None and (gone != -signal.SIGKILL or len(executors) > 1):
                tally.executor = f"ended by itself with {gone}; it should not have"
                return FAILED
            if gone is not None:
                tally.in_between = await _in_between(stage, tally)
                answered = sum(tally.outcomes.values())
                tally.executor = TAKING_OVER
                executors.append(stage.executor(0))
            _note_takeover(tally, answered)
            await asyncio.sleep(0.1)
        deadline = time.monotonic() + QUIET
        while not stop.is_set() and time.monotonic() < deadline:
            if await _at_rest(stage, bridge, tally):
                return 0
            _note_takeover(tally, answered)
            await asyncio.sleep(0.2)
        return 0 if stop.is_set() else FAILED
    finally:
        await close_all(
            *(partial(close_in_thread, partial(_end, process)) for process in (users, *executors)),
            lambda: _cancelled(following),
        )


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _note_takeover(tally: DemoTally, answered: int) -> None:
    """Report that the new executor works, once it has answered more than the `answered` commands at
    the kill.
    """
    if tally.executor == TAKING_OVER and sum(tally.outcomes.values()) > answered:
        tally.executor = BACK_AGAIN


async def _in_between(stage: DemoEnvironment, tally: DemoTally) -> tuple[str, ...]:
    """Commands that took effect in the legacy system but have no receipt yet."""
    from bridge.cli.demo.verification import ledger

    effects = await asyncio.to_thread(ledger, stage.erp_url)
    return tuple(command for command in effects if not tally.receipts[command])


async def _at_rest(stage: DemoEnvironment, bridge: Bridge, tally: DemoTally) -> bool:
    """Every command has its receipt, every effect came back, every agent is at the end."""
    from bridge.agent.group import agent_group
    from bridge.cli.demo.verification import ledger

    if tally.open_commands:
        return False
    effects = await asyncio.to_thread(ledger, stage.erp_url)
    if any(not tally.caused[command] for command in effects):
        return False
    for name, group in (await bridge.log.groups()).items():
        if not name.startswith(agent_group(bridge.name, "")):
            continue
        reads = {partition.topic for partition in group.committed}
        # Not against the partitions' ends: a commit marker may follow the last record.
        behind = (partition for partition in tally.last if partition.topic in reads)
        if any(group.committed.get(partition, 0) < tally.last[partition] for partition in behind):
            return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _show(tally: DemoTally, console: Console, begin: float, name: str) -> None:
    from rich.live import Live

    from bridge.cli.demo.screen import line, panel

    def elapsed() -> float:
        return time.monotonic() - begin

    if not console.is_terminal:
        while True:
            await asyncio.sleep(2)
            console.print(line(tally, elapsed()), soft_wrap=True)
    with Live(panel(tally, 0, name), console=console, refresh_per_second=8) as live:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                live.update(panel(tally, elapsed(), name))
                await asyncio.sleep(0.125)
        live.update(panel(tally, elapsed(), name))


async def _verdict(
    stage: DemoEnvironment, bridge: Bridge, tally: DemoTally, console: Console
) -> int:
    from bridge.cli.demo.verification import commands_wrong, differences, ledger

    effects = await asyncio.to_thread(ledger, stage.erp_url)
    compared, wrong = await differences(bridge)
    wrong += commands_wrong(tally, effects)
    if not tally.in_between:
        wrong.append("the executor was never caught between legacy commit and receipt")
    console.print()
    if wrong:
        for what in wrong[:20]:
            console.print(f"[red]wrong:[/] {what}", soft_wrap=True)
        return FAILED
    cause = tally.in_between[0]
    console.print(
        f"[green]held:[/] {compared:,} rows compared: what the events add up to equals the ERP's "
        "tables, row by row",
        soft_wrap=True,
    )
    console.print(
        f"[green]held:[/] {len(tally.sent)} commands, one receipt (answer) each; {len(effects)} took "
        "effect, and each effect came back as one event that names its command",
        soft_wrap=True,
    )
    refused = sum(tally.outcomes[code] for code in ("conflict", "not_found"))
    if refused:
        console.print(
            f"[green]held:[/] {refused} commands failed on purpose and did nothing: users had changed "
            f"the order ({tally.outcomes['conflict']}, a conflict) or deleted it "
            f"({tally.outcomes['not_found']}) after the agent saw it; the agent looks at its next event",
            soft_wrap=True,
        )
    console.print(
        f"[green]held:[/] {len(tally.in_between)} command(s) had been committed in the ERP when "
        f"their executor was killed, such as {cause}: one row in the ERP's ledger, "
        f"{tally.caused[cause]} change, {tally.receipts[cause]} receipt",
        soft_wrap=True,
    )
    _what_next(stage, console)
    return 0


def _what_next(stage: DemoEnvironment, console: Console) -> None:
    config_path = os.path.relpath(stage.config)
    prefix = "ERP_URL=... " if stage.database else ""
    console.print(f"\nIts files are in {stage.config.parent}. Worth trying next:")
    for words in (
        "tail erp.sales_order --from beginning --no-follow --limit 5",
        "commands --limit 5",
        "commands --state failed --limit 5",
        "get erp.customer 7",
    ):
        console.print(
            f"  {prefix}bridgectl -c {config_path} {words}", soft_wrap=True, highlight=False
        )
    if stage.database:
        console.print(
            f"The slot is dropped; to remove the rest: drop database {stage.database}",
            highlight=False,
        )
