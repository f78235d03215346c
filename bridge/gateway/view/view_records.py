"""Reads records of change topics for a view, whatever schema they were written with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from bridge.gateway.view.index_values import NoIndexValue
from bridge.gateway.view.row_parts import ChangeParts, RowLayout
from bridge.gateway.view.table_forms import TableForm
from bridge.log.port import Record
from bridge.log.registry_port import Registry
from bridge.model.avro import entity_of
from bridge.model.error_text import describe_error
from bridge.model.errors import ConfigurationError
from bridge.model.framing import HEADER_SIZE, MAGIC, schema_id


class UnreadableRow(ValueError):
    """A record of a change topic that is no change of its entity, or that a view can't hold. `key`:
    without its schema id; None: any row may be meant.
    """

    def __init__(self, reason: str, key: bytes | None) -> None:
        super().__init__(reason)
        self.key = key


class ViewRecords:
    """Reads records of one system. Asks the registry once for each schema id, in `learn`; everything
    else is plain calls without I/O.

    texts: of the schemas that were learned, by id. layouts: by bare entity name and schema id.
    """

    def __init__(self, system: str, forms: Mapping[str, TableForm]) -> None:
        self.texts: dict[int, str] = {}
        self.layouts: dict[str, dict[int, RowLayout]] = {name: {} for name in forms}
        self._system = system
        self._forms = forms
        self._refused: dict[int, str] = {}

    def remember(self, texts: Mapping[int, str]) -> None:
        """Schemas that are known already, such as those of a file."""
        for number, text in texts.items():
            self._learn(number, text)

    async def learn(self, registry: Registry, records: Iterable[Record]) -> None:
        """Make sure that what these records are written with is known. Raises RetryLater."""
        for number in {
            int.from_bytes(record[5][1:HEADER_SIZE], "big")
            for record in records
            if record[5] is not None and record[5][:1] == b"\0"
        }:
            if number in self.texts or number in self._refused:
                continue
            try:
                self._learn(number, await registry.schema(number))
            except KeyError:
                self._refused[number] = f"schema id {number} is not in the registry"
            except ConfigurationError as error:
                self._refused[number] = str(error)

    def change(self, entity: str, record: Record) -> tuple[bytes, ChangeParts] | None:
        """The key (without its schema id) and the parts of a record whose schema was learned; None for
        a tombstone. Raises UnreadableRow.
        """
        framed, value = record[4], record[5]
        if value is None:
            return None
        if framed is None or len(framed) <= HEADER_SIZE or framed[0] != MAGIC:
            raise UnreadableRow(f"a record of {entity} has no key of an entity", None)
        key = framed[HEADER_SIZE:]
        try:
            layout = self.layouts[entity].get(schema_id(value))
            if layout is None:
                raise UnreadableRow(self._why_refused(entity, schema_id(value)), key)
            return key, layout.parts(value)
        except (ValueError, IndexError, NoIndexValue) as error:
            raise UnreadableRow(f"not a change of {entity}: {error}", key) from error

    def _why_refused(self, entity: str, number: int) -> str:
        return self._refused.get(number, f"schema id {number} isn't one of {entity}")

    def _learn(self, number: int, text: str) -> None:
        try:
            entity = entity_of(json.loads(text))
            form = self._forms.get(entity.name)
            if entity.system != self._system or form is None:
                self._refused[number] = f"schema id {number} is that of {entity.qualified}"
                return
            self.layouts[entity.name][number] = RowLayout(text, form)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a text of the registry
            why = f"schema id {number} is not that of a change: {describe_error(error)}"
            self._refused[number] = why
        else:
            self.texts[number] = text
