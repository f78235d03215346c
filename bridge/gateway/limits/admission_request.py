"""A query that asks to start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import inf

from bridge.gateway.limits.ceiling import QUERY, Cost
from bridge.observe import ReadRefusal


class WorkClass(IntEnum):
    """For whom a query is, the most urgent first."""

    COMMANDS = 0
    AGENTS = 1
    SURFACES = 2
    REPLAY = 3


KEPT_FOR_COMMANDS = 0.05
"""The share of each window that only commands may use. Being the first in a queue is of no use
while a window is used up: the next start may be minutes away.
"""


PATIENCE_S = 10.0
"""Seconds after which a request without a deadline comes before those that are asked for later."""


@dataclass(eq=False, slots=True)
class AdmissionRequest:
    """One query that waits for its start.

    since: when it was asked for; deadline: when its answer is no longer of use; cost: with an
    estimate of the seconds, without connections if it continues on one that is held; sheddable:
    whether it may be refused because others wait too; a command never is; refused_for: why it was
    refused, if it was.
    """

    work: WorkClass
    since: float
    deadline: float = inf
    cost: Cost = QUERY
    sheddable: bool = True
    refused_for: ReadRefusal | None = None

    @property
    def start_by(self) -> float:
        """The latest start with which the deadline can be met."""
        return self.deadline - self.cost.seconds

    @property
    def order(self) -> float:
        """Where it stands among those of its class: by the latest start; without a deadline as if there
        were one in a while, so that those with a deadline don't always come before it.
        """
        return self.start_by if self.start_by < inf else self.since + PATIENCE_S

    @property
    def kept(self) -> float:
        """The share of each window that it has to leave."""
        return 0.0 if self.work is WorkClass.COMMANDS else KEPT_FOR_COMMANDS
