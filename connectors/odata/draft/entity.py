"""An entity set under the names that a draft gives it."""

from __future__ import annotations

from dataclasses import dataclass, field

from connectors.odata.metadata.model import EntitySet


@dataclass(slots=True)
class DraftedEntity:
    """An entity set under the names that it gets."""

    name: str
    set: EntitySet
    fields: dict[str, str] = field(default_factory=dict)
