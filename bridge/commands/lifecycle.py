"""The lifecycle of a command: its states, and the events that lead from one to another. No I/O.

`TRANSITIONS` is the whole state machine; `next_state` applies it, and `CommandLifecycle` collects
the audit records and the receipt to be written to the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bridge.commands.codes import HELD_BACK, clip_message
from bridge.model.command import CommandRecord
from bridge.model.receipt import Outcome, Receipt, State
from bridge.model.system_records import AuditRecord

EXECUTOR: Final = "executor"


class LifecycleEvent(StrEnum):
    """What can happen to a command."""

    RECEIVE = "receive"
    VALIDATE = "validate"
    AWAIT_APPROVAL = "await approval"
    HOLD = "hold back"
    EXECUTE = "execute"
    DOUBT = "doubt"
    RECONCILE = "reconcile"
    SUCCEED = "succeed"
    FAIL = "fail"
    REJECT = "reject"
    EXPIRE = "expire"
    LOSE_TRACK = "lose track"


@dataclass(frozen=True, slots=True)
class LifecycleTransition:
    """One row of the state machine.

    event: what happens.
    sources: the states in which it may happen; None is the start: the command is new to this
        process, delivered again, retried after it was held back, or concluded by a person.
    target: the state of the command afterwards.
    """

    event: LifecycleEvent
    sources: frozenset[State | None]
    target: State


def _transition(
    event: LifecycleEvent, sources: Sequence[State | None], target: State
) -> LifecycleTransition:
    return LifecycleTransition(event, frozenset(sources), target)


_UNSTARTED = (None, State.RECEIVED, State.VALIDATED)
_AT_WORK = (State.EXECUTING, State.RECONCILING)

TRANSITIONS: Final = (
    _transition(LifecycleEvent.RECEIVE, [None], State.RECEIVED),
    _transition(LifecycleEvent.VALIDATE, [State.RECEIVED], State.VALIDATED),
    _transition(
        LifecycleEvent.AWAIT_APPROVAL,
        [None, State.VALIDATED, State.RECONCILING],
        State.AWAITING_APPROVAL,
    ),
    _transition(LifecycleEvent.HOLD, [None], State.RECEIVED),
    _transition(LifecycleEvent.HOLD, [State.VALIDATED, *_AT_WORK], State.VALIDATED),
    _transition(LifecycleEvent.EXECUTE, [None, State.VALIDATED, *_AT_WORK], State.EXECUTING),
    _transition(LifecycleEvent.DOUBT, [None, *_AT_WORK], State.UNKNOWN),
    _transition(LifecycleEvent.RECONCILE, [State.UNKNOWN], State.RECONCILING),
    _transition(LifecycleEvent.SUCCEED, [*_UNSTARTED, *_AT_WORK], State.SUCCEEDED),
    _transition(LifecycleEvent.FAIL, [None, *_AT_WORK], State.FAILED),
    _transition(LifecycleEvent.REJECT, [*_UNSTARTED, *_AT_WORK], State.REJECTED),
    _transition(LifecycleEvent.EXPIRE, [None, State.RECEIVED, State.RECONCILING], State.EXPIRED),
    _transition(LifecycleEvent.LOSE_TRACK, [*_UNSTARTED, *_AT_WORK], State.UNKNOWN),
)
"""The state machine. `hold back` adds an audit record and leaves the command waiting."""

_TARGETS: Final = {
    (transition.event, source): transition.target
    for transition in TRANSITIONS
    for source in transition.sources
}

FINAL_STATES: Final[Mapping[Outcome, State]] = {
    Outcome.UNKNOWN_OUTCOME: State.UNKNOWN,
    Outcome.SUCCEEDED: State.SUCCEEDED,
    Outcome.FAILED: State.FAILED,
    Outcome.REJECTED: State.REJECTED,
    Outcome.EXPIRED: State.EXPIRED,
    Outcome.CANCELLED: State.CANCELLED,
}
"""Outcome of a receipt -> state."""

_FINISHING_EVENTS: Final[Mapping[Outcome, LifecycleEvent]] = {
    Outcome.UNKNOWN_OUTCOME: LifecycleEvent.LOSE_TRACK,
    Outcome.SUCCEEDED: LifecycleEvent.SUCCEED,
    Outcome.FAILED: LifecycleEvent.FAIL,
    Outcome.REJECTED: LifecycleEvent.REJECT,
    Outcome.EXPIRED: LifecycleEvent.EXPIRE,
}


class InvalidTransition(Exception):
    """A defect of the bridge: this event must not happen to a command in this state."""


def next_state(state: State | None, event: LifecycleEvent) -> State:
    """The state that follows. Raises InvalidTransition."""
    target = _TARGETS.get((event, state))
    if target is None:
        raise InvalidTransition(f"a command that is {state or 'at its start'} can't {event}")
    return target


class CommandLifecycle:
    """The transitions of one command in this process, to be written to the log. Changed only
    through its methods. Used by one task.
    """

    __slots__ = (
        "_logged_count",
        "_transitions",
        "command",
        "is_repeated",
        "is_superseded",
        "logged_outcome",
        "receipt",
    )

    def __init__(self, command: CommandRecord) -> None:
        self.command: Final = command
        self.receipt: Receipt | None = None
        """Its last receipt, if any."""
        self.is_repeated = False
        """True if it took effect earlier and gets its receipt only now."""
        self.is_superseded = False
        """True if a later version of the bridge has ended it: the receipt of this version is for
        people, and readers of headers must not treat it as final.
        """
        self.logged_outcome: Outcome | None = None
        """Set if it already has a receipt, which has this outcome: nothing is written."""
        self._transitions: list[AuditRecord] = []
        self._logged_count = 0

    @property
    def state(self) -> State | None:
        """The current state; None at the start."""
        return State(self._transitions[-1].state) if self._transitions else None

    @property
    def transitions(self) -> Sequence[AuditRecord]:
        """All transitions, in order."""
        return self._transitions

    @property
    def unlogged(self) -> Sequence[AuditRecord]:
        """The transitions not written to the log yet."""
        return self._transitions[self._logged_count :]

    @property
    def is_logged(self) -> bool:
        """Whether any of its transitions are in the log."""
        return self._logged_count > 0

    @property
    def is_held(self) -> bool:
        """Whether it waits for something missing in its declaration."""
        return self.receipt is not None and self.receipt.code == HELD_BACK

    def mark_logged(self) -> None:
        """All transitions so far are in the log."""
        self._logged_count = len(self._transitions)

    def receive(self, at: datetime) -> None:
        """Its agent's record was read."""
        self._apply(LifecycleEvent.RECEIVE, at, by=self.command.agent)

    def validate(self, at: datetime) -> None:
        """It is declared, and its key and arguments are valid."""
        self._apply(LifecycleEvent.VALIDATE, at)

    def await_approval(self, message: str, at: datetime) -> None:
        """A person has to approve it."""
        self._apply(LifecycleEvent.AWAIT_APPROVAL, at, message=message)

    def execute(self, at: datetime) -> None:
        """The system is about to be asked to execute it."""
        self._apply(LifecycleEvent.EXECUTE, at)

    def doubt(self, reason: str, at: datetime) -> None:
        """It may have taken effect; the system is probed."""
        self._apply(LifecycleEvent.DOUBT, at, message=clip_message(reason))
        self._apply(LifecycleEvent.RECONCILE, at)

    def hold(self, receipt: Receipt) -> None:
        """It waits, and its record is skipped: it is found again by `receipt`."""
        if self.unlogged and self.state == State.EXECUTING:
            self._transitions.pop()
        self.receipt = receipt
        self._apply(
            LifecycleEvent.HOLD, receipt.finished_at, code=receipt.code, message=receipt.message
        )

    def finish(self, receipt: Receipt, *, by: str = EXECUTOR, superseded: bool = False) -> None:
        """It ends with this receipt. `superseded`: as `is_superseded`."""
        self.receipt = receipt
        self.is_superseded = superseded
        self._apply(
            _FINISHING_EVENTS[receipt.outcome],
            receipt.finished_at,
            by=by,
            code=receipt.code,
            message=receipt.message,
            version=receipt.version,
        )

    def mark_repeated(self) -> None:
        """The effect that its receipt will report had taken place earlier."""
        self.is_repeated = True

    def answer_from_log(self, outcome: Outcome) -> None:
        """The log has its receipt: discard the transitions that aren't in the log."""
        self.logged_outcome = outcome
        del self._transitions[self._logged_count :]

    def reopen(self, at: datetime) -> None:
        """The receipt in the log is not proven: start again as if received now."""
        self.logged_outcome = None
        self.receive(at)

    def _apply(
        self,
        event: LifecycleEvent,
        at: datetime,
        *,
        by: str = EXECUTOR,
        code: str | None = None,
        message: str | None = None,
        version: str | None = None,
    ) -> None:
        self._transitions.append(
            AuditRecord(
                command_id=self.command.id,
                name=self.command.name,
                state=next_state(self.state, event),
                by=by,
                at=at,
                code=code,
                message=message,
                digest=self.command.digest,
                version=version,
            )
        )
