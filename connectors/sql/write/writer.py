"""Commands into a database: a batch is one transaction of ledger rows, markers and effects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import sqlalchemy as sa
import sqlalchemy.exc as sa_exc
from sqlalchemy.engine import Connection

from bridge.connector import Done, Effect, System
from bridge.model.errors import ConfigurationError, Fenced, OutcomeUnknown, Rejected, RetryLater
from connectors.sql.dialect import SqlDialect
from connectors.sql.dialects import dialect_of
from connectors.sql.engine import make_engine
from connectors.sql.errors import translating_errors
from connectors.sql.read.rows import TableShapes
from connectors.sql.sqlite.connection import BEGIN_OPTION
from connectors.sql.threads import ConnectionThreads
from connectors.sql.write import ledger
from connectors.sql.write.commit import CommitRefused, commit
from connectors.sql.write.effect import TransactionLost, execute_effect
from connectors.sql.write.statement_form import StatementForms
from connectors.sql.write.transaction_settings import TransactionSettings

MAX_CLAIM_ATTEMPTS = 3
"""How often a batch is started again if another executor claimed one of its commands."""


def now_micros() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class SqlWriter:
    """`bridge.connector.LedgerWriter` over SQLAlchemy: each command at most once, by the ledger.

    A failed effect leaves nothing, neither a ledger row nor a marker. If a single effect must wait for a
    lock, its outcome is RetryLater, and the others of its batch continue.
    """

    in_doubt_timeout = 0.0

    def __init__(
        self,
        system: System,
        dialect: SqlDialect | None = None,
        clock: Callable[[], int] = now_micros,
    ) -> None:
        engine = make_engine(system, part="commands")
        self._engine = engine
        self._dialect = dialect or dialect_of(engine.dialect.name)
        self._threads = ConnectionThreads(engine, 1, "writer")
        self._tables = TableShapes(system.tables, self._dialect)
        self._forms = StatementForms(self._dialect)
        self._clock = clock
        self._where = f"system {system.name!r}: writing"
        self._system = system
        self._owner: dict[str, int] = {}
        """By partition's row in the ledger: the owner number of this writer."""

    async def prepare(self) -> None:
        """As `bridge.connector.Writer.prepare`."""

        def act(connection: Connection) -> None:
            create = ledger.create_sql(connection.dialect)
            if not ledger.exists(connection):
                raise ConfigurationError(
                    f"{self._where}: the ledger table {ledger.LEDGER_TABLE!r} is not there; make it "
                    f"with: {' '.join(create.split())}"
                )
            missing = ledger.missing_columns(connection)
            if missing:
                raise ConfigurationError(
                    f"{self._where}: table {ledger.LEDGER_TABLE!r} has no {', '.join(missing)}; it should "
                    f"be: {' '.join(create.split())}"
                )
            marker = self._dialect.marker
            if marker and marker.table and not sa.inspect(connection).has_table(marker.table):
                raise ConfigurationError(
                    f"{self._where}: the table {marker.table!r}, through which changes learn which "
                    f"command caused them, is not there; make it with: {marker.create}"
                )

        with translating_errors(self._where):
            await self._threads.run(act)

    async def own(self, partitions: Sequence[str]) -> None:
        """As `bridge.connector.LedgerWriter.own`."""
        names = [self._row(partition) for partition in partitions]

        def act(connection: Connection) -> dict[str, int]:
            for _ in range(MAX_CLAIM_ATTEMPTS):
                with connection.begin() as transaction:
                    try:
                        owners = ledger.next_owner(connection, names)
                    except sa_exc.IntegrityError:
                        transaction.rollback()
                        continue
                    self._commit(transaction)
                    return owners
            raise RetryLater(f"{self._where}: another executor takes the same partitions")

        try:
            with translating_errors(self._where):
                self._owner.update(
                    await self._threads.run(act, **{BEGIN_OPTION: "BEGIN IMMEDIATE"})
                )
        except OutcomeUnknown as error:
            # That owner was this writer, or nobody: it tries again and becomes the next one.
            raise RetryLater(str(error)) from error

    async def probe(self, effect: Effect) -> Done | None:
        """As `bridge.connector.Writer.probe`: by the ledger."""

        def act(connection: Connection) -> tuple[ledger.LedgerRow | None, int | None]:
            with connection.begin():
                rows = ledger.rows_of(connection, [effect.command_id])
                return rows.get(effect.command_id), self._position(connection)

        with translating_errors(self._where):
            row, position = await self._threads.run(act)
        if row is None or row.digest != effect.digest:
            return None
        return _done(row, position)

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """As `bridge.connector.Writer.execute`."""
        if not effects:
            return []

        def act(connection: Connection) -> list[Done | Exception]:
            return self._batch(connection, effects)

        with translating_errors(self._where):
            return await self._threads.run(act, **{BEGIN_OPTION: "BEGIN IMMEDIATE"})

    def _batch(self, connection: Connection, effects: Sequence[Effect]) -> list[Done | Exception]:
        """One transaction; or one per effect if the commit refused them together."""
        try:
            for _ in range(MAX_CLAIM_ATTEMPTS):
                outcomes = self._transaction(connection, effects)
                if outcomes is not None:
                    return outcomes
        except CommitRefused as refused:
            connection.rollback()
            if len(effects) == 1:
                return [Rejected("legacy_error", str(refused))]
            return [self._batch(connection, [effect])[0] for effect in effects]
        raise RetryLater(f"{self._where}: another executor works on the same commands")

    def _transaction(
        self, connection: Connection, effects: Sequence[Effect]
    ) -> list[Done | Exception] | None:
        """The whole batch; None if a claim collided and it must be started again."""
        first: dict[str, Effect] = {}
        for effect in effects:
            first.setdefault(effect.command_id, effect)
        with connection.begin() as transaction:
            lost = self._lost_partitions(connection, effects)
            ledger_rows = ledger.rows_of(connection, list(first))
            fresh = [
                effect
                for name, effect in first.items()
                if name not in ledger_rows and effect.partition not in lost
            ]
            try:
                if fresh:
                    ledger.claim(
                        connection, [(effect.command_id, effect.digest) for effect in fresh]
                    )
            except sa_exc.IntegrityError:
                transaction.rollback()
                return None
            settings = TransactionSettings(self._dialect)
            outcomes = self._carry_out(connection, fresh, settings)
            position = self._finish(connection, outcomes)
            if fresh:
                settings.for_commit(connection)
            self._commit(transaction)
        if self._dialect.position_after:
            position = self._reached(connection)
        return [
            lost.get(effect.partition)
            or _outcome_of(effect, first, ledger_rows, outcomes, position)
            for effect in effects
        ]

    def _row(self, partition: str) -> str:
        return ledger.owner_row(self._system.bridge, self._system.name, partition)

    def _lost_partitions(
        self, connection: Connection, effects: Sequence[Effect]
    ) -> dict[str, Fenced]:
        """The partitions that have another owner by now. The others keep theirs until this transaction
        ends, because their rows are locked.
        """
        partitions = {effect.partition for effect in effects} - {""}
        if not partitions:
            return {}
        owners = ledger.owners(connection, [self._row(partition) for partition in partitions])
        return {
            partition: Fenced(f"{self._where}: partition {partition} has another executor")
            for partition in partitions
            if (own_number := self._owner.get(self._row(partition))) is None
            or owners.get(self._row(partition)) != own_number
        }

    def _carry_out(
        self, connection: Connection, effects: Sequence[Effect], settings: TransactionSettings
    ) -> dict[str, Done | Exception]:
        try:
            return {
                effect.command_id: execute_effect(
                    connection,
                    self._dialect,
                    self._tables,
                    effect,
                    self._forms,
                    settings=settings,
                )
                for effect in effects
            }
        except TransactionLost as error:
            raise RetryLater(f"{self._where}: the transaction was lost: {error}") from error

    def _finish(self, connection: Connection, outcomes: dict[str, Done | Exception]) -> int | None:
        finished = self._clock()
        rows: list[ledger.LedgerRow] = []
        for name, outcome in outcomes.items():
            if isinstance(outcome, Done):
                outcomes[name] = replace(outcome, finished_at=finished)
                rows.append(ledger.LedgerRow(name, "", outcome.rows, outcome.result, finished))
        ledger.finish(connection, rows)
        failed = [name for name, outcome in outcomes.items() if not isinstance(outcome, Done)]
        ledger.release(connection, failed)
        if self._dialect.marker is not None and self._dialect.marker.clear:
            connection.execute(sa.text(self._dialect.marker.clear))
        return None if self._dialect.position_after else self._position(connection)

    def _position(self, connection: Connection) -> int | None:
        if not self._dialect.position:
            return None
        value = connection.execute(sa.text(f"SELECT {self._dialect.position}")).scalar()
        return None if value is None else int(value)

    def _reached(self, connection: Connection) -> int | None:
        """The position after the commit. The effects are committed even if it can't be read."""
        try:
            with connection.begin():
                return self._position(connection)
        except sa_exc.SQLAlchemyError:
            return None

    def _commit(self, transaction: sa.RootTransaction) -> None:
        commit(transaction, self._where)

    async def close(self) -> None:
        """Wait for a running transaction and close the connection."""
        await self._threads.close()


def _done(row: ledger.LedgerRow, position: int | None) -> Done:
    return Done(
        row.affected,
        row.result,
        repeated=True,
        # The system's current position: the effect was before it.
        position=position,
        finished_at=row.finished_at,
    )


def _outcome_of(
    effect: Effect,
    first: dict[str, Effect],
    ledger_rows: dict[str, ledger.LedgerRow],
    outcomes: dict[str, Done | Exception],
    position: int | None,
) -> Done | Exception:
    """The outcome of one effect of the batch."""
    name = effect.command_id
    digest = ledger_rows[name].digest if name in ledger_rows else first[name].digest
    if digest != effect.digest:
        return Rejected("key_reused", f"command {name!r} was sent before with other content")
    if name in ledger_rows:
        return _done(ledger_rows[name], position)
    outcome = outcomes[name]
    if isinstance(outcome, Done):
        return replace(outcome, repeated=effect is not first[name], position=position)
    return outcome
