"""Commands into a service: creates, updates, deletes and actions, one after the other.

The service keeps no ledger, so a command whose answer is lost is never sent again from here: the
executor probes whether it has happened (`connectors.odata.commands.probe`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bridge.connector import Done, Effect, System
from bridge.model.canonical import canonical_json
from bridge.model.errors import (
    ConfigurationError,
    Rejected,
    RetryLater,
)
from connectors.erp.sequential_execution import execute_in_order
from connectors.odata.commands.binding import BoundRequest, bind
from connectors.odata.commands.probe import ODataProbe
from connectors.odata.commands.statement import parse
from connectors.odata.http.client import ODataClient
from connectors.odata.http.limits import limits_of
from connectors.odata.metadata.model import EntitySet, ODataService
from connectors.odata.protocol.entity_id import key_of_entity_id
from connectors.odata.protocol.entity_table import EntitySetTable, complete_row
from connectors.odata.protocol.entity_tables import EntitySetTables
from connectors.odata.protocol.etag import etag_of
from connectors.odata.protocol.literal import is_value_of, payload
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import ODataResponse, row_of
from connectors.odata.protocol.row_check import is_row_of
from connectors.odata.protocol.row_path import row_path

ANY_VERSION = "*"
"""If-Match of a command that expects nothing: the row must be there, whatever it holds. Without it
a PATCH of a row that is not there makes one, in V4.
"""

MAX_ATTEMPTS = 3
"""How often a command is sent whose rows somebody else changes after they were read."""


class Overtaken(Rejected):
    """A row was changed after it was read, so that nothing was done."""


@dataclass(frozen=True, slots=True)
class CurrentRow:
    """A row as it is now."""

    row: Mapping[str, Any]
    etag: str | None


class ODataWriter:
    """`bridge.connector.Writer` without a ledger.

    A command is one request, or one change set of several. Before a guarded one its row is read:
    the guard is asked about it, and the request carries that row's ETag. Where somebody changes it in
    between, the row is read and the guard asked again (in the end: `conflict`). A service without ETags
    leaves that window open.
    """

    def __init__(self, system: System, client: ODataClient | None = None) -> None:
        self._client = client or ODataClient(system)
        self._in_doubt_timeout = limits_of(system.options).effective_in_doubt_timeout
        self._tables = EntitySetTables(system)
        self._where = f"system {system.name!r}: writing"
        self._ready = False

    @property
    def in_doubt_timeout(self) -> float:
        """As `bridge.connector.Writer.in_doubt_timeout`: what the options say."""
        return self._in_doubt_timeout

    async def prepare(self) -> None:
        """As `bridge.connector.Writer.prepare`: logs in and reads the metadata; later, whether the
        service answers. What was right before may be so again.
        """
        await self._client.metadata()
        if self._ready:
            try:
                await self._client.reach()
            except ConfigurationError as error:
                raise RetryLater(str(error)) from error
        self._ready = True

    async def execute(self, effects: Sequence[Effect]) -> list[Done | Exception]:
        """As `bridge.connector.Writer.execute`, without a ledger."""
        if not effects:
            return []
        try:
            service = await self._client.metadata()
        except ConfigurationError as error:
            raise RetryLater(f"{error} (no command was sent)") from error
        return await execute_in_order(effects, partial(self._execute, service))

    async def probe(self, effect: Effect) -> Done | None:
        """As `bridge.connector.Writer.probe`: by the command's own question, or by the row's key."""
        service = await self._client.metadata()
        return await ODataProbe(self._client, service).ask(effect)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _execute(self, service: ODataService, effect: Effect) -> Done:
        """Done, once more where somebody changed a row after it was read: whether what the command
        expects still holds is seen by reading it again.
        """
        bounds = self._bound(service, effect)
        table = self._table(service, effect)
        for _ in range(MAX_ATTEMPTS - 1):
            with suppress(Overtaken):
                return await self._attempt(service, effect, bounds, table)
        return await self._attempt(service, effect, bounds, table)

    async def _attempt(
        self,
        service: ODataService,
        effect: Effect,
        bounds: Sequence[BoundRequest],
        table: EntitySetTable | None,
    ) -> Done:
        rows = await self._rows_of(service, effect, bounds)
        if effect.guard is not None and table is not None:
            row = rows.get(_path(service, service.sets.get(effect.table), effect.key))
            effect.guard(table.shape, None if row is None else complete_row(table, row.row))
        requests = self._requests(service, effect, bounds, rows)
        if len(requests) == 1:
            answers = [await self._send(requests[0])]
        else:
            answers = await self._client.batch(requests, changeset=True)
        # The one that failed says why, not those that were given up because of it.
        aligned = sorted(zip(bounds, requests, answers, strict=True), key=_given_up)
        undone = not any(answer.good for answer in answers)
        for bound, request, answer in aligned:
            self._check(bound, request, answer, undone=undone)
        return _done(service, table, bounds, answers)

    async def _send(self, request: ODataRequest) -> ODataResponse:
        """The answer; once more where the service turned it away for want of an If-Match."""
        answer = await self._client.ask(request)
        if answer.status == 428 and "If-Match" not in request.headers:
            headers = {**request.headers, "If-Match": ANY_VERSION}
            answer = await self._client.ask(replace(request, headers=headers))
        return answer

    def _bound(self, service: ODataService, effect: Effect) -> list[BoundRequest]:
        try:
            bounds = [bind(bound, service, effect.parameters) for bound in parse(effect.statement)]
        except ConfigurationError as error:
            raise Rejected("bad_statement", f"{self._where}: {error}") from None
        if any(bound.statement.verb == "GET" for bound in bounds):
            raise Rejected(
                "bad_statement", f"{self._where}: GET changes nothing; it belongs into `probe:`"
            )
        return bounds

    def _table(self, service: ODataService, effect: Effect) -> EntitySetTable | None:
        """The command's table, before anything is sent: nothing may be wrong with it later."""
        if not effect.table:
            return None
        try:
            return self._tables.of(service, effect.table)
        except ConfigurationError as error:
            raise Rejected("bad_table", f"{self._where}: {error}") from None

    async def _rows_of(
        self, service: ODataService, effect: Effect, bounds: Sequence[BoundRequest]
    ) -> dict[str, CurrentRow | None]:
        """The rows that have to be read first, by their paths: the command's own where it expects
        something, and each that a PATCH might make because it isn't there.
        """
        rows: dict[str, CurrentRow | None] = {}
        if effect.guard is not None and effect.table in service.sets:
            entity_set = service.sets[effect.table]
            rows[_path(service, entity_set, effect.key)] = await self._read(
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
            path = _path(service, bound.entity_set, bound.key)
            if path in rows:
                continue
            current = await self._read(service, bound.entity_set, bound.key)
            if current is None:
                raise Rejected("not_found", f"{self._where}: {bound.request.path} is not there")
            # Where the metadata declares no versions, an ETag in the headers alone may be that of a web
            # server or proxy: of the answer, not of the row.
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
                f"{self._where}: {entity_set.name}: what came for a row is none; nothing was sent"
            )
        if not is_row_of(entity_set, service.version, key, row):
            raise Rejected(
                "answer_mismatch",
                f"{self._where}: {entity_set.name}: the service gives another row than the one with the key that "
                "was asked for; nothing was sent",
            )
        return CurrentRow(row, etag_of(row, answer.headers))

    def _requests(
        self,
        service: ODataService,
        effect: Effect,
        bounds: Sequence[BoundRequest],
        rows: Mapping[str, CurrentRow | None],
    ) -> list[ODataRequest]:
        """What is sent. Of several that change one row the first alone holds the version that was read:
        for the others the row has another one by then.
        """
        requests: list[ODataRequest] = []
        changed: set[str] = set()
        for bound in bounds:
            path = self._changed_path(service, bound, effect)
            row = rows.get(path) if path and path not in changed else None
            changed.add(path)
            requests.append(self._guarded(bound, effect, row))
        return requests

    def _changed_path(self, service: ODataService, bound: BoundRequest, effect: Effect) -> str:
        if bound.entity_set is not None:
            return "" if bound.key is None else _path(service, bound.entity_set, bound.key)
        if _calls_on(bound, effect):
            return _path(service, service.sets.get(effect.table), effect.key)
        return ""

    def _guarded(self, bound: BoundRequest, effect: Effect, row: CurrentRow | None) -> ODataRequest:
        """The request with the version of the row that it changes, where that was read."""
        request = bound.request
        headers = {**request.headers}
        if row is not None and row.etag:
            headers["If-Match"] = row.etag
        elif (
            row is None
            and bound.entity_set is not None
            and bound.key is not None
            and bound.entity_set.concurrency
        ):
            headers["If-Match"] = ANY_VERSION
        if bound.statement.verb in {"POST", "PATCH"}:
            headers["Prefer"] = "return=representation"
        return replace(request, headers=headers, begin=effect.begin)

    def _check(
        self, bound: BoundRequest, request: ODataRequest, answer: ODataResponse, *, undone: bool
    ) -> None:
        """Raise what is wrong; a precondition that failed says what for. `undone`: nothing of the
        command was done, as far as its answers tell.
        """
        if answer.status == 412 and request.headers.get("If-Match") == ANY_VERSION:
            raise Rejected("not_found", f"{self._where}: {bound.request.path} is not there")
        if answer.status == 412 and "If-Match" in request.headers and undone:
            raise Overtaken(
                "conflict",
                f"{self._where}: {bound.request.path} was changed by somebody else while the command "
                "was under way, again and again; nothing was done",
            )
        self._client.check(request, answer)


def _path(service: ODataService, entity_set: EntitySet | None, key: Mapping[str, Any]) -> str:
    """The address of a row, which identifies it; "" where the key isn't one of the set."""
    if entity_set is None or set(key) != set(entity_set.key) or None in key.values():
        return ""
    return row_path(entity_set, service.version, key)


def _done(
    service: ODataService,
    table: EntitySetTable | None,
    bounds: Sequence[BoundRequest],
    answers: Sequence[ODataResponse],
) -> Done:
    after = None
    results = []
    for bound, answer in zip(bounds, answers, strict=True):
        row = row_of(answer.body)
        key = _made_key(service, bound, answer) if bound.statement.verb == "POST" else {}
        if row is not None or key:
            # The service's own words first; a key that only the address holds is added.
            results.append({**_result_fields(row or {}), **_result_fields(_missing_key(key, row))})
        if row is None:
            continue
        # An action answers with whatever it likes, and PATCH with nothing at times.
        if (
            table is not None
            and bound.entity_set is not None
            and bound.entity_set.name == table.name
        ):
            partial_row = table.row(row)
            complete = all(each.path[0] in row for each in table.properties)
            after = complete_row(table, row) if complete and table.has_key(partial_row) else None
    return Done(
        rows=len(bounds),
        result=canonical_json(results) if results else None,
        after=after,
        shape=None if table is None or after is None else table.shape,
    )


def _made_key(
    service: ODataService, bound: BoundRequest, answer: ODataResponse
) -> Mapping[str, Any]:
    """The key of the row that a POST made, from its address; nothing where there is none."""
    address = answer.headers.get("odata-entityid") or answer.headers.get("location") or ""
    if bound.entity_set is None or not address:
        return {}
    properties = [bound.entity_set.properties[name] for name in bound.entity_set.key]
    key = key_of_entity_id(address, properties, service.version)
    if key is None or not all(map(is_value_of, properties, key)):
        return {}
    return {
        p.name: payload(p, service.version, part) for p, part in zip(properties, key, strict=True)
    }


def _missing_key(key: Mapping[str, Any], row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return {name: part for name, part in key.items() if row is None or row.get(name) is None}


def _calls_on(bound: BoundRequest, effect: Effect) -> bool:
    """Whether a function import of V2 is about the command's row: its arguments hold the key."""
    return bool(effect.key) and all(
        name in bound.fields and bound.fields[name] == value for name, value in effect.key.items()
    )


def _given_up(attempt: tuple[BoundRequest, ODataRequest, ODataResponse]) -> bool:
    return attempt[2].status == 424


def _result_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer says, without what only OData cares for; numbers as text where JSON's own
    would lose digits.
    """
    values = {}
    for name, value in row.items():
        if "@" in name or isinstance(value, (dict, list)):
            continue
        exact = isinstance(value, bool) or value is None
        small = isinstance(value, int) and abs(value) <= 2**53
        values[_utf8(name)] = value if exact or small else _utf8(str(value))
    return values


def _utf8(text: str) -> str:
    """Without halves of surrogate pairs, which JSON may hold and no receipt."""
    return text.encode(errors="replace").decode()
