"""The form in which rows are held: a header that names the form, and the row's Avro bytes. Pure.

A form is what decides the bytes: the names and types of the fields, and which of them are the key.
Rows of events and rows that were read share the forms, whatever ids the registry gave the schemas, so
that two payloads are equal exactly if they are the same row in the same form. The numbers are of this
process: payloads aren't stored.
"""

from __future__ import annotations

from collections.abc import Callable

from bridge.model import framing
from bridge.model.avro import change_schema, row_schema, schema_text
from bridge.model.types import Entity
from bridge.plan.lazy_record import Decoder, LazyRow


class RowForms:
    """The forms of one system's rows. Used by one thread; `row` by any.

    forget: called with an entity's bare name when its rows are read in another form than before, such
    as after an `ALTER TABLE`, of which rows that are held know nothing.
    """

    def __init__(self, forget: Callable[[str], object] = lambda _: None) -> None:
        self._forget = forget
        self._headers: dict[Entity, bytes] = {}
        self._by_text: dict[str, bytes] = {}
        self._decoders: dict[bytes, Decoder] = {}
        self._read: dict[str, bytes] = {}

    def header(self, entity: Entity) -> bytes:
        """What is put before the Avro bytes of rows of this type that were read."""
        header = self.header_of_records(entity)
        before = self._read.get(entity.name)
        if before is not header:
            self._read[entity.name] = header
            if before is not None:
                self._forget(entity.name)
        return header

    def header_of_records(self, entity: Entity) -> bytes:
        """The same of rows of records. The same object for equal forms."""
        header = self._headers.get(entity)
        if header is None:
            text = schema_text(row_schema(entity))
            header = self._by_text.get(text)
            if header is None:
                header = self._by_text[text] = framing.header(len(self._by_text))
                self._decoders[header] = Decoder(schema_text(change_schema(entity)), entity)
            self._headers[entity] = header
        return header

    def is_read(self, entity: str, header: bytes) -> bool:
        """Whether rows of that entity are read in this form, as far as any was read."""
        return self._read.get(entity, header) == header

    def row(self, payload: bytes) -> LazyRow:
        """The row of a payload. Raises KeyError for a header that isn't one of these, ValueError for
        bytes that end too early.
        """
        decoder = self._decoders[payload[: framing.HEADER_SIZE]]
        return decoder.row(payload[framing.HEADER_SIZE :])
