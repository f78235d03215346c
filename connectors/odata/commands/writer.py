"""Commands into a service: creates, updates, deletes and actions, one after the other.

The service keeps no ledger, so a command whose answer is lost is never sent again from here: the
executor probes whether it has happened (`connectors.odata.commands.probe`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from bridge.connector import Done, Effect, System
from bridge.model.errors import (
    ConfigurationError,
    Rejected,
    RetryLater,
)
from connectors.erp.sequential_execution import execute_in_order
from connectors.odata.commands.binding import BoundRequest, bind
from connectors.odata.commands.command_result import command_result
from connectors.odata.commands.current_rows import CurrentRows, row_address
from connectors.odata.commands.guarded_requests import ANY_VERSION, guarded_requests
from connectors.odata.commands.probe import ODataProbe
from connectors.odata.commands.statement import parse
from connectors.odata.http.client import ODataClient
from connectors.odata.http.limits import limits_of
from connectors.odata.metadata.model import ODataService
from connectors.odata.protocol.entity_table import EntitySetTable, complete_row
from connectors.odata.protocol.entity_tables import EntitySetTables
from connectors.odata.protocol.request import ODataRequest
from connectors.odata.protocol.response import ODataResponse

MAX_ATTEMPTS = 3
"""How often a command is sent if somebody else changes its rows after they were read."""


class Overtaken(Rejected):
    """A row was changed after it was read: the request had no effect."""


class ODataWriter:
    """`bridge.connector.Writer` without a ledger.

    A command is one request, or one change set of several. Before a guarded one its row is read and given
    to the guard, and the request carries that row's ETag. If somebody changes the row in between, it is
    read and the guard asked again (in the end: `conflict`). With a service without ETags such a change
    isn't noticed.
    """

    def __init__(self, system: System, client: ODataClient | None = None) -> None:
        self._client = client or ODataClient(system)
        self._in_doubt_timeout = limits_of(system.options).effective_in_doubt_timeout
        self._tables = EntitySetTables(system)
        self._where = f"system {system.name!r}: writing"
        self._rows = CurrentRows(self._client, self._tables, self._where)
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
        """Execute the command, again if somebody changed a row after it was read: the row is then read
        and compared once more.
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
        rows = await self._rows.of(service, effect, bounds)
        if effect.guard is not None and table is not None:
            row = rows.get(row_address(service, service.sets.get(effect.table), effect.key))
            effect.guard(table.shape, None if row is None else complete_row(table, row.row))
        requests = guarded_requests(service, effect, bounds, rows)
        if len(requests) == 1:
            answers = [await self._send(requests[0])]
        else:
            answers = await self._client.batch(requests, changeset=True)
        # The request that failed has the reason, not those that were cancelled because of it.
        aligned = sorted(zip(bounds, requests, answers, strict=True), key=_given_up)
        undone = not any(answer.good for answer in answers)
        for bound, request, answer in aligned:
            self._check(bound, request, answer, undone=undone)
        return command_result(service, table, bounds, answers)

    async def _send(self, request: ODataRequest) -> ODataResponse:
        """Send it, and once more if the service requires an If-Match."""
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
                "bad_statement", f"{self._where}: GET changes nothing; it belongs in `probe:`"
            )
        return bounds

    def _table(self, service: ODataService, effect: Effect) -> EntitySetTable | None:
        """The command's table; fails before anything is sent."""
        if not effect.table:
            return None
        try:
            return self._tables.of(service, effect.table)
        except ConfigurationError as error:
            raise Rejected("bad_table", f"{self._where}: {error}") from None

    def _check(
        self, bound: BoundRequest, request: ODataRequest, answer: ODataResponse, *, undone: bool
    ) -> None:
        """Raise the answer's error; a failed precondition is a conflict. `undone`: by its answers, the
        command had no effect.
        """
        if answer.status == 412 and request.headers.get("If-Match") == ANY_VERSION:
            raise Rejected("not_found", f"{self._where}: {bound.request.path} doesn't exist")
        if answer.status == 412 and "If-Match" in request.headers and undone:
            raise Overtaken(
                "conflict",
                f"{self._where}: {bound.request.path} was changed by somebody else while the command "
                "was under way, again and again; nothing was done",
            )
        self._client.check(request, answer)


def _given_up(attempt: tuple[BoundRequest, ODataRequest, ODataResponse]) -> bool:
    return attempt[2].status == 424
