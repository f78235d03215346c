"""The form in which rows are held: a header that names the form, and the row's Avro bytes. Pure.

A form is what decides the bytes: the names and types of the fields, and which of them are the key.
Rows of events and rows that were read share the forms, whatever ids the registry gave the schemas, so
that two payloads are equal exactly if they are the same row in the same form. The numbers are of this
process: payloads aren't stored.
"""

from __future__ import annotations

from bridge.model import framing
from bridge.model.avro import change_schema, row_schema, schema_text
from bridge.model.types import Entity
from bridge.plan.lazy_record import Decoder, LazyRow


class RowForms:
    """The forms of one system's rows. Used by one thread; `row` by any."""

    def __init__(self) -> None:
        self._headers: dict[Entity, bytes] = {}
        self._by_text: dict[str, bytes] = {}
        self._decoders: dict[bytes, Decoder] = {}

    def header(self, entity: Entity) -> bytes:
        """What is put before the Avro bytes of a row of this type. The same for equal forms."""
        header = self._headers.get(entity)
        if header is None:
            text = schema_text(row_schema(entity))
            header = self._by_text.get(text)
            if header is None:
                header = self._by_text[text] = framing.header(len(self._by_text))
                self._decoders[header] = Decoder(schema_text(change_schema(entity)), entity)
            self._headers[entity] = header
        return header

    def row(self, payload: bytes) -> LazyRow:
        """The row of a payload. Raises KeyError for a header that isn't one of these, ValueError for
        bytes that end too early.
        """
        decoder = self._decoders[payload[: framing.HEADER_SIZE]]
        return decoder.row(payload[framing.HEADER_SIZE :])
