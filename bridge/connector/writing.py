"""Commands in the system: effects, their outcomes, and the Writers that execute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from bridge.connector.stream import Shape
from bridge.model.types import FieldType


@dataclass(frozen=True, slots=True)
class Effect:
    """A command, ready to be executed.

    command_id: unique; the ledger's key and the marker of its changes.
    digest: of its content; the same id with another digest is refused (`key_reused`).
    statement: what is executed, with bound parameters `:name`.
    parameters: source values by name.
    table: the target row's.
    key: source columns and values of that row.
    guard: called with the current raw row (None: it doesn't exist) while its lock is held; raises
    Rejected (`conflict`, ...) to refuse.
    many: whether more than one row may be affected.
    probe: the declared query that finds whether it took effect, with the parameters of `statement`;
    empty: none is declared.
    partition: the one it belongs to, as in `LedgerWriter.own`; empty: any process may execute it.
    begin: called immediately before each request that may execute it, after all other checks. Raises
    Fenced if it is too late for this process: then nothing is sent, and the outcome is Fenced.
    types: the declared types of those parameters that have one.
    """

    command_id: str
    digest: str
    statement: str
    parameters: Mapping[str, Any]
    table: str
    key: Mapping[str, Any]
    guard: Callable[[Shape | None, Any], None] | None = None
    many: bool = False
    probe: str = ""
    partition: str = ""
    begin: Callable[[], None] | None = None
    types: Mapping[str, FieldType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that took effect.

    rows: how many were affected.
    result: what the statement returned, as JSON text.
    repeated: the ledger already had this command: nothing was executed again, and `rows`, `result`
    and `finished_at` are those of the first execution.
    position: a commit position (`SourceTransaction.commit`): the effect is at or before this point;
    None if the system reports none.
    after: the raw row afterwards, of `shape`; None if it was not read.
    shape: of `after`.
    finished_at: microseconds since 1970 UTC.
    """

    rows: int
    result: str | None = None
    repeated: bool = False
    position: int | None = None
    after: Any = None
    shape: Shape | None = None
    finished_at: int | None = None


class Writer(Protocol):
    """Executes commands, one call at a time.

    With the capability `ledger` each takes effect at most once, however often it is executed (see
    LedgerWriter). Without it the caller writes its intent to the log before it calls `execute`, and
    an effect that may have taken place is probed, never blindly repeated.
    """

    @property
    def in_doubt_timeout(self) -> float:
        """Seconds after which a request without a response has either taken effect or never will,
        so an effect that a probe then doesn't find did not take place. 0 if the system guarantees
        that itself.
        """

    async def prepare(self) -> None:
        """Check that everything needed exists, including the ledger. Called before the first
        `execute`; may be called again at any time. Raises ConfigurationError with the SQL that
        creates what is missing, RetryLater while the system is unavailable.
        """

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """Execute effects in this order; returns their outcomes, aligned with them.

        With a ledger, effects that succeed share one transaction with their ledger rows and markers;
        each has a savepoint, so one failure doesn't affect the others. Without a ledger, an error
        doesn't affect the others either.

        Per effect: Done; Rejected (`not_found`, `conflict`, `key_reused`, `too_many_rows`,
        `legacy_error`), RetryLater and Fenced: it had no effect; OutcomeUnknown: it may have had
        one. Raises OutcomeUnknown if that applies to all (a commit's response was lost: with a
        ledger, call again with the same effects, and the ledger reports them), RetryLater if none
        took effect. After a cancellation every outcome is unknown.
        """

    async def probe(self, effect: Effect) -> Done | None:
        """Find out whether an effect took place; returns what is known about it, or None if it
        certainly did not. Changes nothing.

        With a ledger always answered, by id and digest alone. Raises Unsupported if it can never be
        determined (there is nothing to look for), OutcomeUnknown if it can't be determined now,
        RetryLater while the system is unavailable.
        """

    async def close(self) -> None:
        """Close the connections. Never raises for a lost one; may be called twice."""


@runtime_checkable
class LedgerWriter(Writer, Protocol):
    """A Writer that keeps a ledger in the legacy transaction of the effect."""

    async def own(self, partitions: Sequence[str]) -> None:
        """Take these partitions over from all other Writers: when it returns, their transactions
        for these partitions have ended, or will end without effect.

        From then on the outcome of effects of a partition that another Writer has taken (or none
        has) is Fenced, decided in their transaction. Raises RetryLater while the system is
        unavailable, ConfigurationError if the ledger is missing.
        """
