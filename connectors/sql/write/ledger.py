"""The ledger: which commands took effect, written in the legacy transaction of the effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

LEDGER_TABLE = "bridge_ledger"

_metadata = sa.MetaData()
ledger = sa.Table(
    LEDGER_TABLE,
    _metadata,
    sa.Column("command_id", sa.String(200), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("outcome", sa.String(20), nullable=False),
    sa.Column("affected", sa.BigInteger, nullable=False),
    sa.Column("result", sa.Text),
    sa.Column("finished_at", sa.BigInteger, nullable=False),
)
"""`finished_at` in microseconds since 1970 UTC. Only successful commands have a row: a failed command had
no effect, and its receipt is in the log. There is also a row for each partition that an executor owns:
`command_id` is `owner_row`'s, `affected` the number of owners so far.
"""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The ledger's row of a command that succeeded."""

    command_id: str
    digest: str
    affected: int
    result: str | None
    finished_at: int


def create_sql(dialect: Dialect) -> str:
    """The statement that creates the ledger."""
    return str(sa.schema.CreateTable(ledger).compile(dialect=dialect)).strip()


def exists(connection: Connection) -> bool:
    """Whether the ledger exists."""
    return sa.inspect(connection).has_table(LEDGER_TABLE)


def missing_columns(connection: Connection) -> list[str]:
    """Columns that are missing in the ledger."""
    present = {item["name"] for item in sa.inspect(connection).get_columns(LEDGER_TABLE)}
    return [column.name for column in ledger.columns if column.name not in present]


def rows_of(connection: Connection, command_ids: Sequence[str]) -> dict[str, LedgerRow]:
    """The rows of those commands that took effect already, in one query."""
    query = sa.select(
        ledger.c.command_id,
        ledger.c.digest,
        ledger.c.affected,
        ledger.c.result,
        ledger.c.finished_at,
    ).where(ledger.c.command_id.in_(command_ids))
    return {row.command_id: LedgerRow(*row) for row in connection.execute(query)}


def claim(connection: Connection, commands: Sequence[tuple[str, str]]) -> None:
    """Rows for (command id, digest) before their effects; a concurrent claim of the same command
    waits for this transaction or fails with IntegrityError.
    """
    connection.execute(
        sa.insert(ledger),
        [
            {
                "command_id": command_id,
                "digest": digest,
                "outcome": "executing",
                "affected": 0,
                "result": None,
                "finished_at": 0,
            }
            for command_id, digest in commands
        ],
    )


def finish(connection: Connection, rows: Sequence[LedgerRow]) -> None:
    """Record what succeeded."""
    if not rows:
        return
    connection.execute(
        sa.update(ledger)
        .where(ledger.c.command_id == sa.bindparam("b_id"))
        .values(
            outcome="succeeded",
            affected=sa.bindparam("b_affected"),
            result=sa.bindparam("b_result"),
            finished_at=sa.bindparam("b_finished"),
        ),
        [
            {
                "b_id": row.command_id,
                "b_affected": row.affected,
                "b_result": row.result,
                "b_finished": row.finished_at,
            }
            for row in rows
        ],
    )


def owner_row(bridge: str, system: str, partition: str) -> str:
    """The `command_id` of the row that says who owns a partition; no command has such an id."""
    return f"/{bridge}/{system}/{partition}"


def owners(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """The last owner of each of these rows, which stay locked until the transaction ends."""
    query = (
        sa.select(ledger.c.command_id, ledger.c.affected)
        .where(ledger.c.command_id.in_(names))
        .order_by(ledger.c.command_id)
        .with_for_update()
    )
    return {row.command_id: row.affected for row in connection.execute(query)}


def next_owner(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Become the next owner of these rows; another transaction that holds their locks ends first.

    Raises IntegrityError if somebody else created one of them at the same time.
    """
    last_owners = owners(connection, names)
    if last_owners:
        connection.execute(
            sa.update(ledger)
            .where(ledger.c.command_id.in_(list(last_owners)))
            .values(affected=ledger.c.affected + 1)
        )
    missing = [name for name in names if name not in last_owners]
    if missing:
        connection.execute(
            sa.insert(ledger),
            [
                {
                    "command_id": name,
                    "digest": "",
                    "outcome": "owner",
                    "affected": 1,
                    "result": None,
                    "finished_at": 0,
                }
                for name in missing
            ],
        )
    return {name: last_owners.get(name, 0) + 1 for name in names}


def release(connection: Connection, command_ids: Sequence[str]) -> None:
    """Remove the claims of commands that failed: they may be retried."""
    if command_ids:
        connection.execute(sa.delete(ledger).where(ledger.c.command_id.in_(command_ids)))
