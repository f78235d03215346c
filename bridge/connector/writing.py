"""Commands in the system: what is executed, its outcome, and who executes it."""

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
    table: of the row that it is about.
    key: source columns and values of that row.
    guard: called under the row's lock with the current raw row (None: there is none); raises Rejected
    (`conflict`, ...) to refuse.
    many: more than one row may be affected.
    probe: the declared query that says whether it took effect, with the parameters of `statement`;
    empty: none is declared.
    partition: whose it is, as in `LedgerWriter.own`; empty: anybody may execute it.
    begin: called immediately before each request that may execute it, after all other checks. Raises
    Fenced when it is too late for this process: then nothing is sent, and Fenced is the outcome.
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
    repeated: the ledger held this command already: nothing was executed again, and `rows`, `result`
    and `finished_at` are those of the first time.
    position: a commit position (`SourceTransaction.commit`): the effect is at or before this point;
    None where the system reports none.
    after: the raw row afterwards, of `shape`; None where it was not read.
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
    LedgerWriter). Without it the caller writes its intent into the log before it calls `execute`, and
    an effect that may have happened is probed, never executed again blindly.
    """

    @property
    def in_doubt_timeout(self) -> float:
        """Seconds after which a request whose answer was lost has happened or never will, so that
        what a probe doesn't find then did not happen. 0 where the system answers for that itself.
        """

    async def prepare(self) -> None:
        """Check that everything needed exists, the ledger too. Called before the first `execute`; may be
        called again at any time. Raises ConfigurationError with the SQL that creates what is missing,
        RetryLater while the system is away.
        """

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """Execute effects in this order; returns their outcomes, aligned with them.

        With a ledger, effects that succeed share one transaction with their ledger rows and markers;
        each has a savepoint, so that one failure leaves the others alone. Without a ledger, an error
        leaves the others alone too.

        Per effect: Done; Rejected (`not_found`, `conflict`, `key_reused`, `too_many_rows`,
        `legacy_error`), RetryLater and Fenced: it did not happen; OutcomeUnknown: it may have.
        Raises OutcomeUnknown when that is so for all (a commit's answer was lost: with a ledger, call
        again with the same effects, the ledger answers), RetryLater when nothing happened. When it
        is cancelled every outcome is unknown.
        """

    async def probe(self, effect: Effect) -> Done | None:
        """Ask whether an effect happened; returns what is known of it, or None when it certainly did
        not. Changes nothing.

        With a ledger always answered, by id and digest alone. Raises Unsupported when nobody can say
        (there is nothing to look for), OutcomeUnknown when it can't be said for now, RetryLater while
        the system is away.
        """

    async def close(self) -> None:
        """Close the connections. Never raises for a lost one; may be called twice."""


@runtime_checkable
class LedgerWriter(Writer, Protocol):
    """A Writer that keeps a ledger in the legacy transaction of the effect."""

    async def own(self, partitions: Sequence[str]) -> None:
        """Take these partitions over from every other Writer: when it returns, a transaction of another
        one for them has ended, or will end without effect.

        From then on `execute` gives effects of a partition that another Writer has taken (or nobody
        yet) the outcome Fenced, decided in their transaction. Raises RetryLater while the system is
        away, ConfigurationError where the ledger is missing.
        """
