"""What every schema registry promises; one may be used by any number of tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema of a registry.

    id: never means another schema
    text: Avro JSON, exactly as registered
    """

    id: int
    text: str


class Registry(Protocol):
    """Schemas by id and by subject: Confluent-compatible over HTTP, or the embedded one.

    Texts and ids are cached permanently, because an id never changes its meaning. Every method
    raises RetryLater while the registry is unavailable, ConfigurationError for a wrong login or
    address.
    """

    async def open(self) -> None:
        """Connect. Call it first."""

    async def close(self) -> None:
        """Close the connections."""

    async def register(self, subject: str, text: str) -> int:
        """The id of `text` under `subject`; registers it when it is new there.

        Many processes that register the same text at once get the same id. Raises Rejected
        (`incompatible_schema`) with the reason when it may not follow the earlier versions.
        """

    async def schema(self, schema_id: int) -> str:
        """The text of a schema. Raises KeyError if the registry has no such id."""

    async def latest(self, subject: str) -> RegisteredSchema | None:
        """The newest version under `subject`; None when there is none."""

    async def versions(self, subject: str) -> list[RegisteredSchema]:
        """Every version under `subject`, oldest first; empty when there is none."""

    async def set_compatibility(self, subject: str, level: str) -> None:
        """Set the compatibility level of one subject, such as `BACKWARD_TRANSITIVE`.

        Raises Rejected for a level that the registry doesn't support.
        """
