"""The rows that a command refers to, as they are before it is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bridge.connector import Effect
from bridge.model.errors import Rejected, RetryLater
from connectors.odata.commands.binding import BoundRequest
from connectors.odata.http.client import ODataClient
from connectors.odata.metadata.model import EntitySet, ODataService
from connectors.odata.protocol.entity_tables import EntitySetTables
from connectors.odata.protocol.etag import etag_of
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import row_of
from connectors.odata.protocol.row_check import is_row_of
from connectors.odata.protocol.row_path import row_path


@dataclass(frozen=True, slots=True)
class CurrentRow:
    """A row as it is now."""

    row: Mapping[str, Any]
    etag: str | None


class CurrentRows:
    """Reads the rows that a command refers to. `where`: beginning of messages."""

    def __init__(self, client: ODataClient, tables: EntitySetTables, where: str) -> None:
        self._client = client
        self._tables = tables
        self._where = where

    async def of(
        self, service: ODataService, effect: Effect, bounds: Sequence[BoundRequest]
    ) -> dict[str, CurrentRow | None]:
        """The rows that have to be read first, by their paths: the command's own if it has `expect`, and
        each that a PATCH might create because it doesn't exist.
        """
        rows: dict[str, CurrentRow | None] = {}
        if effect.guard is not None and effect.table in service.sets:
            entity_set = service.sets[effect.table]
            rows[row_address(service, entity_set, effect.key)] = await self._read(
                service, entity_set, effect.key
            )
        for bound in bounds:
            blind = (
                bound.statement.verb == "PATCH"
                and bound.entity_set is not None
                and not bound.entity_set.concurrency
            )
            if not blind or bound.entity_set is None or bound.key is None:
                continue
            path = row_address(service, bound.entity_set, bound.key)
            if path in rows:
                continue
            current = await self._read(service, bound.entity_set, bound.key)
            if current is None:
                raise Rejected("not_found", f"{self._where}: {bound.request.path} doesn't exist")
            # If the metadata declare no versions, an ETag that is only in the headers may be that of a
            # web server or proxy: of the answer, not of the row.
            rows[path] = replace(current, etag=etag_of(current.row))
        return rows

    async def _read(
        self, service: ODataService, entity_set: EntitySet, key: Mapping[str, Any]
    ) -> CurrentRow | None:
        table = self._tables.of(service, entity_set.name)
        path = self._client.within(
            row_path(entity_set, service.version, key), {"$select": table.select}
        )
        request = ODataRequest("GET", path)
        answer = await self._client.ask(request)
        if answer.status == 404:
            return None
        self._client.check(request, answer)
        row = row_of(answer.body)
        if row is None or not table.has_key(table.row(row)):
            raise RetryLater(
                f"{self._where}: {entity_set.name}: the answer to a read of the row is no row; nothing was sent"
            )
        if not is_row_of(entity_set, service.version, key, row):
            raise Rejected(
                "answer_mismatch",
                f"{self._where}: {entity_set.name}: the service returned another row than the one with the "
                "requested key; nothing was sent",
            )
        return CurrentRow(row, etag_of(row, answer.headers))


def row_address(service: ODataService, entity_set: EntitySet | None, key: Mapping[str, Any]) -> str:
    """The address of a row, which identifies it; "" if the key isn't one of the set."""
    if entity_set is None or set(key) != set(entity_set.key) or None in key.values():
        return ""
    return row_path(entity_set, service.version, key)
