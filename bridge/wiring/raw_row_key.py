"""The key of a row that became no event, as the source has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from bridge.model.position import parse_position
from bridge.model.specs import EntitySpec
from bridge.model.system_records import DeadLetter
from bridge.wiring.bridge import Bridge
from bridge.wiring.entities import registered_subject


class KeyNames:
    """The names of entities' key fields, each entity's looked up once."""

    def __init__(self, bridge: Bridge) -> None:
        self.specs = bridge.entities
        self._bridge = bridge
        self._names: dict[str, Sequence[str]] = {}

    async def of(self, spec: EntitySpec) -> Sequence[str]:
        """As declared; where the table's primary key is the key, as the log has it, and empty where
        it has none yet.
        """
        if spec.key:
            return spec.key
        if spec.qualified not in self._names:
            schema = await registered_subject(self._bridge, spec.qualified, "key")
            fields = [] if schema is None else json.loads(schema.schema.text)["fields"]
            self._names[spec.qualified] = [field["name"] for field in fields]
        return self._names[spec.qualified]


async def raw_row_key(keys: KeyNames, letter: DeadLetter) -> dict[str, Any] | None:
    """The key of the row in a letter; None where the letter holds no row of a declared entity."""
    spec = keys.specs.get(letter.source)
    row = _raw_row(letter.raw, before=_is_before(letter.position))
    if spec is None or row is None:
        return None
    columns = {field.name: field.columns for field in spec.fields}
    return {
        name: row[column]
        for name in await keys.of(spec)
        for column in columns.get(name, (name,))
        if column in row
    } or None


def _is_before(position: str | None) -> bool:
    """Whether a letter is about the row before a change: even numbers are those of deletes and of
    changes that leave the key as it is. Pure.
    """
    with suppress(ValueError):
        return position is not None and parse_position(position).number % 2 == 0
    return False


def _raw_row(text: str | None, *, before: bool) -> Mapping[str, Any] | None:
    """The row of a change that a letter is about, else the other one. Pure."""
    raw: Any = None
    with suppress(ValueError, RecursionError):  # cut off, because it was too long
        raw = json.loads(text or "null")
    if not isinstance(raw, dict):
        return None
    old, new = raw.get("old"), raw.get("new")
    row = (old or new) if before else (new or old)
    return row if isinstance(row, dict) else None
