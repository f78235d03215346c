"""What the agent stage needs from the rest; `bridge.wiring` hands it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bridge.log.port import Record, TopicPartition
from bridge.model.event import Event


class Reads(Protocol):
    """Reads of legacy systems. `entity` is `system.entity`; a key is a mapping of key fields to
    values, or the bare value for a key of one field.

    Called from many handlers at once; calls that wait at the same time may share a query.
    Raises RetryLater while the system is away, Rejected for what can't be asked. A cancelled
    call cancels no other.
    """

    async def get(self, entity: str, key: Any) -> Any | None:
        """The row, or None."""

    async def get_many(self, entity: str, keys: Sequence[Any]) -> list[Any | None]:
        """The rows, aligned with `keys`."""

    async def related(self, entity: str, row: Any, relation: str) -> Any:
        """A list of rows for a relation to many, a row or None for one to one."""

    async def query(self, entity: str, where: Mapping[str, Any], limit: int) -> list[Any]:
        """Rows whose fields equal `where` (a list of values: any of them), at most `limit`."""


class Events(Protocol):
    """Makes events out of change records."""

    async def event(self, record: Record) -> Event | None:
        """The event, or None for a tombstone. Raises RetryLater while the registry is away,
        ValueError for a record that is no change.
        """


class HoldsKeys(Protocol):
    """The keys whose events are parked, of an agent with `on_failure: park_key`."""

    def add(self, entity: str, key: bytes | None, place: TopicPartition) -> None:
        """An event of this key, which stands in `place`, is being parked."""

    async def holds(self, entity: str, key: bytes | None) -> bool:
        """Whether the key is parked."""


@dataclass(frozen=True, slots=True)
class CommandTarget:
    """What a declared command is about: its entity, that entity's key fields, its guards.

    `key` empty: not known here (in a test); a command's key is then taken as it is given.
    """

    system: str
    entity: str
    key: tuple[str, ...]
    guards: tuple[str, ...] = ()


class Commands(Protocol):
    """The declared commands of all systems."""

    def target(self, name: str) -> CommandTarget:
        """Raises Rejected (`unknown_command`) that says what there is."""
