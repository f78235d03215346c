"""The progress of a batch of commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.commands.codes import only_claims_id
from bridge.commands.held.commands import DueCommands
from bridge.commands.lifecycle import CommandLifecycle
from bridge.commands.receipts.outcome_table import OutcomeTable, recorded_outcome
from bridge.commands.strategy.contract import PendingCommand
from bridge.model.receipt import Receipt


@dataclass(slots=True)
class BatchProgress:
    """The state of one batch while it is executed.

    lifecycles: one per command, aligned; None for a command that waits.
    due: not None if all commands are held ones that are retried.
    waiting_keys: the keys of commands that wait; later commands of these keys wait too.
    outcomes: of the commands that ended in this batch; the same command may occur again in it.
    epoch: of the system's history, read after the last effects.
    unverified: indexes of commands whose success is known from the log only.
    disputed: ids of those whose success the ledger denies.
    held_by_key: the first command of the batch that is held back, by key.
    held_names: the declarations that are held back.
    """

    lifecycles: list[CommandLifecycle | None]
    due: DueCommands | None = None
    waiting_keys: set[bytes | None] = field(default_factory=set)
    outcomes: OutcomeTable = field(default_factory=OutcomeTable)
    epoch: int | None = None
    unverified: list[int] = field(default_factory=list)
    disputed: set[str] = field(default_factory=set)
    held_by_key: dict[bytes | None, str] = field(default_factory=dict)
    held_names: set[str] = field(default_factory=set)

    def wait(self, index: int, key: bytes | None) -> None:
        """This command is delivered again later, and so are all later ones of its key."""
        self.lifecycles[index] = None
        self.waiting_keys.add(key)

    def finish(self, pending: PendingCommand, receipt: Receipt) -> None:
        """This command ends with this receipt."""
        pending.lifecycle.finish(receipt)
        if not only_claims_id(receipt.code):
            self.outcomes.add(pending.id, recorded_outcome(pending.digest, receipt.outcome))


def waves(keys: Sequence[bytes | None]) -> list[list[int]]:
    """Indexes in groups with distinct keys, so that the order per key holds even if one of a group
    has to wait.
    """
    counts: dict[bytes | None, int] = {}
    groups: list[list[int]] = []
    for index, key in enumerate(keys):
        number = counts.get(key, 0)
        counts[key] = number + 1
        if number == len(groups):
            groups.append([])
        groups[number].append(index)
    return groups
