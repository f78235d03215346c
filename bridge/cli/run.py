"""`bridgectl run`: runs capture, agents and commands until a signal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.app import exit_code
from bridge.cli.command_runner import finish, leave, load_configuration, run_async
from bridge.model.errors import BridgeError, ConfigurationError
from bridge.observe import Observer, PartState, both, unfailing

if TYPE_CHECKING:
    from bridge.agent import Agent
    from bridge.config import Config
    from bridge.wiring.telemetry import Telemetry

KINDS = ("capture", "gateway", "agents", "commands")
LEVELS = ("debug", "info", "warning", "error")


@click.command(epilog="Example: bridgectl run --only capture")
@click.option(
    "--only",
    "only",
    type=click.Choice(KINDS),
    multiple=True,
    help="Run only this part (repeatable); several processes may share the work.",
)
@click.option("--json", "as_json", is_flag=True, help="Log lines as JSON objects.")
@click.option("-v", "--verbose", is_flag=True, help="Same as --log-level debug.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="Lowest level of log lines; debug includes each batch, event, read and attempt.",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    help="Serve Prometheus metrics and the probes /healthz and /readyz on this address.",
)
@click.option(
    "--exit-on-failure",
    is_flag=True,
    help="End the process as soon as a part has failed for good (exit code 1), so that a supervisor restarts it.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    only: tuple[str, ...],
    as_json: bool,
    verbose: bool,
    log_level: str,
    metrics: str | None,
    exit_on_failure: bool,
) -> None:
    """Run the bridge: capture, gateways, agents and commands, until Ctrl-C or SIGTERM.

    When a part fails for good the others keep running, unless --exit-on-failure is given.
    """
    with _refusals(as_json=as_json):
        config = load_configuration(ctx, whole=True)
        kinds = _kinds(config, only)
        observers: list[Observer] = []
        ends: list[Callable[[], None]] = []
        failed = False
        level = _level(log_level, verbose=verbose)

        def on_failure() -> None:
            nonlocal failed
            if exit_on_failure and not failed:
                failed = True
                # Within the same time as after a signal, whatever the other parts do.
                for end in ends:
                    end()

        async def work(stop: asyncio.Event) -> int:
            from bridge.wiring.agents import load_agents
            from bridge.wiring.run_parts import build_parts, open_when_available, run_parts

            with ExitStack() as stack:
                observer = _log_into_lines(stack, as_json=as_json, level=level)
                agents: Any = load_agents(config.agents) if "agents" in kinds else ()
                telemetry = _telemetry(config, agents, kinds) if metrics else None
                if metrics and telemetry is not None:
                    stack.enter_context(telemetry.served(metrics))
                    observer = both(observer, unfailing(telemetry))
                observers.append(observer)
                async with open_when_available(config, stop, observer) as bridge:
                    if bridge is None:
                        return 0
                    parts = build_parts(bridge, agents, kinds)
                    watching = telemetry.watching(bridge) if telemetry else nullcontext()
                    async with watching:
                        reporting = both(observer, bridge.group_reports)
                        ended = await run_parts(parts, stop, reporting, on_failure)
            _remind(observer, config.bridge, ended.failed, len(parts))
            return 1 if ended.failed else 0

        code = run_async(
            work,
            ends_itself=True,
            cut_off=partial(_report_cut_off, observers, config.bridge),
            ready=ends.append,
        )
        leave(1 if failed else code)


def _kinds(config: Config, only: Collection[str]) -> Collection[str]:
    """The parts to run. A process that would run nothing says so at once."""
    if set(only) == {"gateway"} and not any(system.gateway for system in config.systems):
        raise ConfigurationError(
            "no system has a gateway of its own: write `gateway: {}` into the file of each system "
            "that one process shall read for all others"
        )
    return only or KINDS


def _level(log_level: str, *, verbose: bool) -> int:
    return logging.DEBUG if verbose else logging.getLevelNamesMapping()[log_level.upper()]


def _log_into_lines(stack: ExitStack, *, as_json: bool, level: int) -> Observer:
    """An observer that writes log lines; until the stack ends, Python's logging is included, and
    with JSON printed text too.
    """
    from bridge.cli.log_output.notice_lines import line_logger, notice_logger
    from bridge.cli.log_output.printed_lines import printing_into
    from bridge.cli.log_output.python_logging import logging_into

    lines = line_logger(as_json=as_json, level=level)
    # Created while stderr is still the process's own: printed text becomes log lines below.
    observer = unfailing(notice_logger(as_json=as_json, level=level))
    stack.enter_context(logging_into(lines, level))
    if as_json:
        stack.enter_context(printing_into(lines))
    return observer


def _report_cut_off(observers: Iterable[Observer], bridge: str, why: str) -> None:
    for observer in observers:
        observer(PartState("bridge", bridge, "failed", why))


def _remind(observer: Observer, bridge: str, failed: Collection[str], parts: int) -> None:
    """Report which parts had failed, because they determine the exit code. Each reported its reason
    when it failed, which may be long ago.
    """
    if failed and len(failed) < parts:
        why = f"failed earlier: {', '.join(failed)}"
        observer(PartState("bridge", bridge, "stopped", why))


@contextmanager
def _refusals(*, as_json: bool) -> Iterator[None]:
    """Errors before anything runs are logged in JSON if the log is JSON, because its readers parse
    every line. Otherwise the command group prints them.
    """
    try:
        yield
    except BridgeError as error:
        if not as_json:
            raise
        from bridge.cli.log_output.notice_lines import log_refusal

        log_refusal(error)
        finish(exit_code(error))


def _telemetry(config: Config, agents: Sequence[Agent], kinds: Collection[str]) -> Telemetry:
    """The telemetry of a process that runs these parts."""
    from bridge.wiring.run_scope import run_scope
    from bridge.wiring.telemetry import Telemetry

    return Telemetry(run_scope(config, agents, kinds), config.stalled_after_s)
