"""Look-ups of rows in the file of a view, as the Gateway asks for them. Any thread may."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from bridge.gateway.view.contract import NOT_HELD, KeyedRow, NotHeld, RowOrNotHeld
from bridge.gateway.view.index_values import NoIndexValue, index_encoder
from bridge.gateway.view.row_parts import UNKNOWN
from bridge.gateway.view.table_forms import TableForm
from bridge.gateway.view.view_reads import ViewReads
from bridge.gateway.view.view_records import ViewRecords
from bridge.model.avro import entity_of
from bridge.model.framing import HEADER_SIZE, schema_id
from bridge.model.types import Entity, FieldType
from bridge.plan.lazy_record import Decoder, LazyRow


class ViewLookups:
    """Raises DamagedFile or sqlite3.Error where the file can't be trusted.

    records: knows the schemas that rows were written with.
    entity_now: an entity as reads have it by now, by its bare name.
    """

    def __init__(
        self,
        reads: ViewReads,
        records: ViewRecords,
        forms: Mapping[str, TableForm],
        entity_now: Callable[[str], Entity],
    ) -> None:
        self._reads = reads
        self._records = records
        self._forms = forms
        self._entity_now = entity_now
        self._decoders: dict[int, tuple[Entity, Decoder | None]] = {}
        self._encoders = {
            name: {
                field: index_encoder(field_type)
                for field, field_type in zip(form.indexed, form.types, strict=True)
            }
            for name, form in forms.items()
        }

    def get(self, entity: str, key: bytes, doubtful: Collection[bytes]) -> LazyRow | None:
        """The row of a key; None: there is none. Raises NotHeld."""
        if key in doubtful:
            raise NotHeld
        data = self._reads.get(entity, key)
        if data == UNKNOWN or (data is None and not self._forms[entity].exact_key):
            raise NotHeld
        return None if data is None else self._row(entity, data)

    def get_many(
        self, entity: str, keys: Sequence[bytes], doubtful: Collection[bytes]
    ) -> list[RowOrNotHeld]:
        """The rows of keys, aligned."""
        absent = None if self._forms[entity].exact_key else NOT_HELD
        rows: list[RowOrNotHeld] = []
        for key, data in zip(keys, self._reads.get_many(entity, keys), strict=True):
            if key in doubtful or data == UNKNOWN:
                rows.append(NOT_HELD)
            elif data is None:
                rows.append(absent)
            else:
                try:
                    rows.append(self._row(entity, data))
                except NotHeld:
                    rows.append(NOT_HELD)
        return rows

    def equal(
        self,
        entity: str,
        fields: Sequence[str],
        values: Sequence[Sequence[Any]],
        limit: int,
        doubtful: Collection[bytes],
    ) -> list[list[KeyedRow]]:
        """As HoldsRows. A row in doubt may have any of the values."""
        order = sorted(range(len(fields)), key=lambda number: fields[number])
        names = tuple(fields[number] for number in order)
        if doubtful or names not in self._forms[entity].indexes:
            raise NotHeld
        encoders = [self._encoders[entity][name] for name in names]
        lists: list[list[KeyedRow]] = []
        for combination in values:
            if None in combination:
                lists.append([])
                continue
            try:
                wanted = [
                    encode(combination[number])
                    for encode, number in zip(encoders, order, strict=True)
                ]
            except NoIndexValue as error:
                raise NotHeld from error
            rows = self._reads.equal(entity, names, wanted, limit)
            if rows is None:
                raise NotHeld
            lists.append([KeyedRow(key, self._row(entity, data)) for key, data in rows])
        return lists

    def _row(self, entity: str, data: bytes) -> LazyRow:
        """Raises NotHeld for a row of another form than rows have by now: a column that was added since
        may have a default.
        """
        number, now = schema_id(data), self._entity_now(entity)
        decoder_now = self._decoders.get(number)
        if decoder_now is None or decoder_now[0] is not now:
            text = self._records.texts[number]
            has_form = _fields(entity_of(json.loads(text))) == _fields(now)
            decoder_now = (now, Decoder(text, now) if has_form else None)
            self._decoders[number] = decoder_now
        decoder = decoder_now[1]
        if decoder is None:
            raise NotHeld
        return decoder.row(data[HEADER_SIZE:])


def _fields(entity: Entity) -> dict[str, FieldType]:
    return {field.name: field.type for field in entity.fields}
