"""Which commands may be sent again, and what keeps the others from it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.commands.codes import only_claims_id
from bridge.commands.history import CommandHistory
from bridge.commands.manual.retry import RetriedCommand, RetryRequest, retry_id, retry_of
from bridge.model.specs import CommandSpec
from bridge.model.system_records import Target


@dataclass(frozen=True, slots=True)
class PlannedRetry:
    """A command that a person wants to retry.

    new_id: of the command in its place; None: the old one's record is not in the log any more
    obstacle: why it is not sent again; empty where it is
    command: what is sent; None where there is an obstacle
    """

    history: CommandHistory
    new_id: str | None
    obstacle: str
    command: RetriedCommand | None


def plan_retries(
    chosen: Iterable[CommandHistory],
    histories: Mapping[str, CommandHistory],
    declared: Mapping[str, CommandSpec],
    request: RetryRequest,
) -> list[PlannedRetry]:
    """What a retry of the `chosen` commands does, in their order.

    histories: all commands of the log, by id
    declared: the commands of this configuration, by `system.command`
    """
    return [_plan_retry(each, histories, declared.get(each.name), request) for each in chosen]


def _plan_retry(
    history: CommandHistory,
    histories: Mapping[str, CommandHistory],
    spec: CommandSpec | None,
    request: RetryRequest,
) -> PlannedRetry:
    old = history.request
    new_id = None if old is None else retry_id(old)
    obstacle = obstacle_to_retry(history, histories, spec, request)
    if obstacle or old is None or spec is None:
        return PlannedRetry(history, new_id, obstacle, None)
    target = Target(spec.system, spec.entity, old.key)
    command = RetriedCommand(history.id, retry_of(old, request), target)
    return PlannedRetry(history, new_id, "", command)


def obstacle_to_retry(
    history: CommandHistory,
    histories: Mapping[str, CommandHistory],
    spec: CommandSpec | None,
    request: RetryRequest,
) -> str:
    """Why a command is not sent again; empty where it is."""
    old = history.request
    if old is None:
        return "its record is not in the log any more"
    if history.receipt is not None and only_claims_id(history.receipt.code):
        return "its record does not hold together, so that nobody knows whose it is"
    before = histories.get(retry_id(old))
    if before is not None:
        return f"was sent again before: {before.state}"
    if spec is None:
        return "it is not declared any more"
    deadline = old.deadline if request.deadline is None else request.deadline
    if deadline is not None and deadline <= request.at:
        return "its deadline is over: give another one by --deadline"
    return ""
