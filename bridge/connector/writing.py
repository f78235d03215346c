"""Commands: what is carried out, what came of it, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from bridge.connector.stream import Shape
from bridge.model.types import FieldType


@dataclass(frozen=True, slots=True)
class Effect:
    """A command, ready to be carried out.

    `statement` with bound parameters `:name`; `parameters` source values, and `types` what those
    that have a type are declared as. `table` and `key` name
    the row (source columns and values); `guard` is asked under the row's lock with the current
    raw row (None: not there) and raises Rejected (`conflict`, ...) to refuse.
    `many`: more than one row may be affected. `probe` is the command's own question to the system
    whether it has happened, with the parameters of `statement` (empty: none is declared).
    `partition` is who acts, as in `LedgerWriter.own` (empty: anybody may).
    `begin` is called right in front of each request that may carry it out, last of all checks. It
    raises Fenced when it is too late for this process to act: then nothing is sent, and Fenced is
    the effect's outcome.
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
    """What the legacy system answered: rows affected, rows returned by the statement, raw.

    `repeated`: the ledger held this command already; nothing was done again, and `result`,
    `rows` and `finished_at` (microseconds) are those of the first time. `position` is a commit
    position at or behind that of the effect (`Transaction.commit`), where the system tells one.
    """

    rows: int
    result: str | None = None
    repeated: bool = False
    position: int | None = None
    after: Any = None
    shape: Shape | None = None
    finished_at: int | None = None


class Writer(Protocol):
    """Carries out commands.

    With the capability `ledger` each takes effect at most once, whoever asks however often (see
    LedgerWriter). Without it the executor keeps count: it writes its intent into the log before
    it asks, and what may have happened is probed for, never asked for again blindly.
    """

    @property
    def in_doubt_timeout(self) -> float:
        """Seconds after which a request whose answer was lost has happened or never will, so that
        what a probe doesn't find then did not happen. 0 where the system answers for that itself.
        """

    async def prepare(self) -> None:
        """Check that all is there, the ledger too; raises ConfigurationError with the SQL that
        makes it, RetryLater while the system is away. May be called again at any time.
        """

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """Aligned outcomes. With a ledger, effects that succeed share one legacy transaction with
        their ledger rows and markers; each stands behind a savepoint, so that one failure spares
        the rest. Without, they are carried out in this order, and an error spares the rest too.

        Per effect: Done; Rejected (`not_found`, `conflict`, `key_reused`, `too_many_rows`,
        `legacy_error`), RetryLater and Fenced: it did not happen; OutcomeUnknown: it may have.
        Raises OutcomeUnknown when that is so for all (a commit's answer was lost: with a ledger,
        call again with the same effects, the ledger answers), RetryLater when nothing happened.
        """

    async def probe(self, effect: Effect) -> Done | None:
        """Whether it happened: what is known of it, or None when it certainly did not.

        With a ledger always answered, by id and digest alone. Raises Unsupported when it can't be
        told (nothing to look for), OutcomeUnknown when it can't be told for now, RetryLater.
        """

    async def close(self) -> None: ...


@runtime_checkable
class LedgerWriter(Writer, Protocol):
    """A Writer that keeps a ledger in the legacy transaction of the effect."""

    async def own(self, partitions: Sequence[str]) -> None:
        """From now on this Writer acts for these: a transaction of another one that acts for
        them has ended, or ends without effect. Raises RetryLater, ConfigurationError.

        Effects of a partition that another Writer owns by now (or nobody yet) have the outcome
        Fenced, decided in their transaction.
        """
