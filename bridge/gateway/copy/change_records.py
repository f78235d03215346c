"""Records of change topics as the changes that a cache applies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast

from bridge.gateway.cache.change_effect import EntityChange
from bridge.gateway.copy.row_forms import RowForms
from bridge.gateway.freshness.doubts import key_bytes
from bridge.log.port import Record
from bridge.log.registry_port import Registry
from bridge.model import framing
from bridge.model.avro import entity_of
from bridge.model.error_text import describe_error
from bridge.model.errors import ConfigurationError
from bridge.plan.lazy_record import Decoder, LazyChange

MICROSECONDS_PER_SECOND: Final = 1_000_000


class UnappliedRecord(ValueError):
    """A record of a change topic that is no change of its entity. `key`: without its schema id, if it is
    a key of the entity all the same; None: any row may be meant.
    """

    def __init__(self, reason: str, key: bytes | None) -> None:
        super().__init__(reason)
        self.key = key


class AppliedChange(NamedTuple):
    """A change, and where it stands in the system's history.

    committed_at: by the source's clock, as seconds on the clock of reads; None: not reported.
    """

    change: EntityChange
    position: str
    committed_at: float | None


class _WriterForm(NamedTuple):
    """What a schema's id stands for: the entity, and how its rows are written; None: of a key."""

    qualified: str
    decoder: Decoder | None
    header: bytes

    def change(self, value: bytes) -> LazyChange:
        """The change of a framed value. Raises ValueError."""
        if self.decoder is None:
            raise ValueError("its schema is that of a key")
        return self.decoder.change(value)


class ChangeRecords:
    """Reads records of one system. Asks the registry once for each schema id, in `learn`; everything
    else is plain calls without I/O.

    system: its name.
    rows: the forms that payloads have.
    has_transactions: whether a record's `transaction` is the number that reads' visibility takes.
    """

    def __init__(
        self, registry: Registry, system: str, rows: RowForms, *, has_transactions: bool
    ) -> None:
        self._registry = registry
        self._system = system
        self._rows = rows
        self._has_transactions = has_transactions
        self._forms: dict[int, _WriterForm] = {}
        self._refused: dict[int, str] = {}
        #: By entity, the header of the newest form that was read: rows of an older one lack a field.
        self._newest: dict[str, tuple[int, bytes]] = {}

    async def learn(self, records: Iterable[Record]) -> None:
        """Make sure that what these records are written with is known. Raises RetryLater."""
        for schema_id in {each for record in records for each in _schema_ids(record)}:
            if schema_id not in self._forms and schema_id not in self._refused:
                await self._learn(schema_id)

    def read(self, entity: str, record: Record, wall_clock: float) -> AppliedChange | None:
        """The change of a record whose schemas were learned; None for a tombstone.

        wall_clock: seconds since 1970 at zero of the clock of reads, on this machine.
        Raises UnappliedRecord.
        """
        if record.value is None:
            return None
        key = self._key(entity, record.key)
        try:
            form = self._form(entity, record.value)
            return self._change(entity, key, form, form.change(record.value), wall_clock)
        except Exception as error:
            raise UnappliedRecord(f"not a change: {describe_error(error)}", key) from error

    def is_new_form(self, entity: str, record: Record) -> bool:
        """Whether the record is the first one of a later form of the entity's rows than all before;
        not of the first one at all.
        """
        if record.value is None or len(record.value) < framing.HEADER_SIZE:
            return False
        schema_id = int.from_bytes(record.value[1 : framing.HEADER_SIZE], "big")
        newest = self._newest.get(entity)
        if newest is not None and schema_id <= newest[0]:
            return False
        form = self._forms.get(schema_id)
        if form is None or form.qualified != f"{self._system}.{entity}" or form.decoder is None:
            return False
        self._newest[entity] = (schema_id, form.header)
        return newest is not None and newest[1] != form.header

    def _change(
        self, entity: str, key: bytes, form: _WriterForm, change: LazyChange, wall_clock: float
    ) -> AppliedChange:
        after = None if change.op == "delete" else change.after
        if after is None and change.op != "delete":
            raise ValueError(f"{change.op} without a row")
        payload = None
        if after is not None:
            payload = form.header + after.avro_bytes()
        transaction = None
        if self._has_transactions and change.transaction is not None:
            transaction = int(change.transaction)
        newest = self._newest.get(entity)
        applied = EntityChange(
            entity,
            key,
            payload,
            cast("Mapping[str, Any] | None", after),
            transaction,
            change.captured_us / MICROSECONDS_PER_SECOND - wall_clock,
            whole=(
                not change.unavailable
                and (newest is None or newest[1] == form.header)
                and self._rows.is_read(entity, form.header)
            ),
            snapshot=change.op == "read",
        )
        occurred = change.occurred_us
        committed_at = None if occurred is None else occurred / MICROSECONDS_PER_SECOND - wall_clock
        return AppliedChange(applied, change.position, committed_at)

    def _key(self, entity: str, framed: bytes | None) -> bytes:
        if framed is None:
            raise UnappliedRecord("it has no key", None)
        try:
            form = self._form(entity, framed)
        except ValueError as error:
            raise UnappliedRecord(f"not the key of {entity}: {error}", None) from error
        if form.decoder is not None:
            raise UnappliedRecord("the schema of its key is that of a change", None)
        return key_bytes(framed)

    def _form(self, entity: str, framed: bytes) -> _WriterForm:
        schema_id = framing.schema_id(framed)
        form = self._forms.get(schema_id)
        if form is None:
            raise ValueError(self._refused.get(schema_id, f"schema id {schema_id} is unknown"))
        if form.qualified != f"{self._system}.{entity}":
            raise ValueError(f"schema id {schema_id} is that of {form.qualified}")
        return form

    async def _learn(self, schema_id: int) -> None:
        try:
            text = await self._registry.schema(schema_id)
        except KeyError:
            self._refused[schema_id] = f"schema id {schema_id} is not in the registry"
            return
        except ConfigurationError as error:
            self._refused[schema_id] = str(error)
            return
        try:
            self._forms[schema_id] = self._writer_form(text)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a text of the registry
            self._refused[schema_id] = (
                f"schema id {schema_id} is neither that of a change nor of its key: "
                f"{describe_error(error)}"
            )

    def _writer_form(self, text: str) -> _WriterForm:
        schema = json.loads(text)
        if schema.get("name") == "Key":
            return _WriterForm(str(schema["namespace"]), None, b"")
        entity = entity_of(schema)
        return _WriterForm(
            entity.qualified, Decoder(text, entity), self._rows.header_of_records(entity)
        )


def _schema_ids(record: Record) -> list[int]:
    """The ids that frame the key and the value, where they are framed."""
    return [
        int.from_bytes(data[1 : framing.HEADER_SIZE], "big")
        for data in (record.key, record.value)
        if data is not None and len(data) >= framing.HEADER_SIZE and data[0] == framing.MAGIC
    ]
