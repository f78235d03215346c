"""The legacy side of a connector under test: a program that knows nothing of the bridge.

The suite works on one table, whatever that is in the system (an entity set, a file): `order_no`,
text of up to ten characters and the key; `customer`, text or null; `qty`, a whole number or
null; `price`, a decimal with two digits after the point or null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from bridge.connector import Connector, System

KEY = "order_no"
COLUMNS = (KEY, "customer", "qty", "price")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    """A new row; columns that are left out are null."""

    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """Other values for some columns of the row with this key."""

    key: str
    values: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """The row with this key goes."""

    key: str


@dataclass(frozen=True, slots=True)
class Rekey:
    """The row with this key gets another one."""

    key: str
    new: str


@dataclass(frozen=True, slots=True)
class TruncateTable:
    """The whole table is emptied by the system's TRUNCATE; asked for with that capability only."""


Limitation = Literal["rekey", "rollback"]
"""What a legacy system can't do: change a row's key, roll a transaction back."""

Operation = Create | Update | Delete | Rekey | TruncateTable


@dataclass(frozen=True, slots=True)
class TypeCase:
    """A column type of the system and values of it.

    `native` is the type in the statement that makes the column, `literal` the value in the one that
    writes it; `type` is the field type that the connector should find for the column, `value` what the
    record should hold.
    """

    native: str
    literal: str
    type: str
    value: Any


class LegacySystem(Protocol):
    """The system under test, written by the author of a connector. Synchronous; the suite calls it
    from several threads.

    `build`: the connector's dotted name (`package.module:connector`), for processes that are killed.
    `connector`: the connector itself.
    `table`: the table's name in the system's terms. It may have columns of the system's own, which
    are left out.
    `types`: at least one case for a connector that captures or reads.
    `limitations`: what the system can't do; the suite doesn't do it then.
    `key`: the column that is the table's key: `order_no`, or a number that the system assigns.
    """

    build: str
    connector: Connector
    table: str
    types: Sequence[TypeCase]
    limitations: frozenset[Limitation]
    key: str

    def system(self, *tables: str) -> System:
        """The system as configured, with `tables` (none: the suite's table)."""

    def start(self) -> None:
        """Make the empty table in a fresh system. Called once, before `Connector.setup`."""

    def apply(self, *operations: Operation, commit: bool = True) -> None:
        """Do these in one transaction, and commit it or roll it back."""

    def rows(self) -> list[dict[str, Any]]:
        """All rows as the legacy program itself sees them, values as in `COLUMNS`."""

    def typed(self, name: str, cases: Sequence[TypeCase]) -> None:
        """Make a table `name` with the key column `id` (whole numbers) and columns `c0`, `c1` ..."""

    def fill(self, name: str, cases: Sequence[TypeCase]) -> None:
        """Write one row with the key 1 and the cases' literals into it."""

    def set_qty(self) -> str:
        """The statement of a command that sets `qty` to `:qty` where the key is `:key`."""


@runtime_checkable
class SupportsOpenTransactions(Protocol):
    """A legacy system of which the suite can hold a transaction open; asked for with the capability
    `visibility` only.
    """

    def open_transaction(self, *operations: Operation) -> AbstractContextManager[None]:
        """Do these in one transaction, which is committed at the end of the block, not before."""
