"""Whether a command has happened whose answer was lost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from bridge.connector import Done, Effect
from bridge.model.errors import HistoryLost, OutcomeUnknown, Rejected, Unsupported
from bridge.plan.steps import MISSING
from connectors.erp.probe import (
    MAX_CONTROL_ROWS,
    conclude_from_row,
    finds_existing_rows,
    probe_errors,
)
from connectors.odata.commands.binding import BoundRequest, bind, condition
from connectors.odata.commands.statement import parse
from connectors.odata.http.client import ODataClient
from connectors.odata.metadata.model import EntitySet, ODataService
from connectors.odata.protocol.entity_table import value_at
from connectors.odata.protocol.literal import payload
from connectors.odata.protocol.property_values import row_value
from connectors.odata.protocol.request import ODataRequest, with_query
from connectors.odata.protocol.response import EntityPage, page_of, row_of
from connectors.odata.protocol.row_check import holds_fields, is_row_of, row_values
from connectors.odata.protocol.row_path import row_path

_HOW = "declare a `probe:` that finds it, such as GET Orders number=:number"


class ODataProbe:
    """Asks a service, by the command's `probe:`; without one by what the command itself says.

    - POST: whether there is a row with its key, where the command gives the whole of it, and it
      holds what was to be set; another one may be somebody else's.
    - DELETE: whether the row is gone.
    - PATCH: whether the row holds what was to be set. Where it doesn't, a guarded command may be
      sent again, because its guard decides then; whether another one did happen can't be told.
    - CALL: can't be told.
    """

    def __init__(self, client: ODataClient, service: ODataService) -> None:
        self._client = client
        self._service = service

    async def ask(self, effect: Effect) -> Done | None:
        """Done, or None when it certainly did not happen. Raises Unsupported, OutcomeUnknown where
        the question was refused, RetryLater.
        """
        with probe_errors(effect):
            if effect.probe:
                return await self._declared(effect)
            bounds = [
                bind(one, self._service, effect.parameters) for one in parse(effect.statement)
            ]
            # Of a change set all happened or nothing: one of them that can be told is enough.
            told = [one for one in bounds if _can_tell(one)]
            if not told:
                raise Unsupported(f"command {effect.command_id!r} can't be probed: {_HOW}")
            return await self._by_key(effect, told[0], len(bounds))

    def _null_hint(self, effect: Effect) -> str:
        """What may be the matter where `probe:` asks for a null by `$filter`."""
        bounds = [bind(one, self._service, effect.parameters) for one in parse(effect.probe)]
        names = [
            name
            for one in bounds
            if one.key is None
            for name, wanted in one.fields.items()
            if wanted is None
        ]
        if not names:
            return ""
        return (
            f"; `probe:` asks for {', '.join(names)} by `eq null`, which some services don't take: ask for the "
            "row by its key instead, as in GET Orders(:key), and nulls are compared in what comes"
        )

    async def _declared(self, effect: Effect) -> Done | None:
        try:
            return await self._all_hold(effect)
        except Rejected as error:
            raise Rejected(error.code, f"{error}{self._null_hint(effect)}") from error

    async def _all_hold(self, effect: Effect) -> Done | None:
        """Done where each row that `probe:` names is there and holds what it says."""
        statements = parse(effect.probe)
        if any(one.verb != "GET" for one in statements):
            raise Unsupported(f"command {effect.command_id!r}: `probe:` asks by GET alone")
        for one in [bind(each, self._service, effect.parameters) for each in statements]:
            assert one.of is not None, "GET names an entity set"  # noqa: S101
            if one.key is not None:
                row = await self._row(one.of, one.key)
                found = row is not None and row_holds(row, one, self._service)
            else:
                found = await self._any(effect, one.of, one.fields)
            if not found:
                return None
        return Done(rows=1)

    async def _by_key(self, effect: Effect, one: BoundRequest, count: int) -> Done | None:
        assert one.of is not None, "what can be told names a row"  # noqa: S101
        row = await self._row(one.of, _key_of(one))
        verb = one.statement.verb
        return conclude_from_row(
            effect,
            row=one.request.path,
            deletes=verb == "DELETE",
            exists=row is not None,
            holds=row is not None and row_holds(row, one, self._service),
            repeatable=verb == "PATCH",
            done=Done(rows=count),
            advice=_HOW,
        )

    async def _row(self, of: EntitySet, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
        request = ODataRequest("GET", row_path(of, self._service.version, key))
        answer = await self._client.ask(request)
        if answer.status == 404:
            return None
        self._client.check(request, answer)
        row = row_of(answer.body)
        if row is None or any(
            value_at(row, of.properties[name].path) in (None, MISSING) for name in of.key
        ):
            raise OutcomeUnknown(f"{of.name}: what came for a row is none; it is asked for again")
        if not is_row_of(of, self._service.version, key, row):
            raise Unsupported(
                f"{of.name}: the service gives another row than the one with the key that is asked for, "
                "so that nothing can be told by it"
            )
        return row

    async def _any(self, effect: Effect, of: EntitySet, fields: Mapping[str, Any]) -> bool:
        """Whether there is a row with these values. Raises Unsupported where the service doesn't heed
        `$filter`: a row that nobody asked for is no hit, and an empty answer no miss.
        """
        rows = await self._filtered(of, fields)
        if any(holds_fields(of, self._service.version, fields, row) for row in rows):
            return True
        if rows:
            raise Unsupported(
                self._ignored(effect, of, "gives rows that don't hold what was asked")
            )
        if fields and not await self._filters(of, fields):
            raise Unsupported(self._ignored(effect, of, "doesn't find a row that is there"))
        return False

    def _ignored(self, effect: Effect, of: EntitySet, how: str) -> str:
        return (
            f"command {effect.command_id!r}: `probe:` can't tell: the service doesn't heed `$filter` of "
            f"{of.name}, and {how}. Ask for the row by its key in `probe:`, as in GET "
            f"{of.name}(:key), or have the service answer its filters"
        )

    async def _filtered(self, of: EntitySet, fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        query = {"$top": "1", "$select": self._select(of, fields)}
        if fields:
            query["$filter"] = condition(of, self._service, fields)
        page = await self._page(of, query)
        rows = list(page.rows)
        # An empty page may stand in front of others.
        try:
            if not rows:
                rows += [
                    row async for one in self._client.further(page, of.name) for row in one.rows
                ]
        except HistoryLost as error:
            raise OutcomeUnknown(str(error)) from error
        return rows

    def _select(self, of: EntitySet, fields: Mapping[str, Any]) -> str:
        tops = (of.properties[name].path[0] for name in fields if name in of.properties)
        return ",".join(dict.fromkeys([*of.key, *tops]))

    async def _page(self, of: EntitySet, query: Mapping[str, str]) -> EntityPage:
        request = ODataRequest("GET", with_query(of.name, query))
        answer = await self._client.ask(request)
        self._client.check(request, answer)
        page = page_of(answer.body)
        if page is None:
            raise OutcomeUnknown(f"{of.name}: what came for a list of rows is none")
        return page

    async def _filters(self, of: EntitySet, fields: Mapping[str, Any]) -> bool:
        """Whether the same filter finds a row that is there by the values that it has; of an empty
        set, yes.
        """
        return await finds_existing_rows(partial(self._overlooked, of, list(fields)), of.name)

    async def _overlooked(self, of: EntitySet, names: list[str]) -> str | None:
        """A row that is there, and that a filter by its own values doesn't find."""
        version = self._service.version
        query = {"$top": str(MAX_CONTROL_ROWS), "$select": self._select(of, dict.fromkeys(names))}
        page = await self._page(of, query)
        if not page.rows:
            return None
        values = [row_values(of, version, names, row) for row in page.rows]
        whole = [
            index
            for index, one in enumerate(values)
            if not any(part in (None, MISSING) for part in one)
        ]
        row = page.rows[whole[0] if whole else 0]
        key = row_values(of, version, of.key, row)
        # Where no row holds all of these, at least its own key must find one.
        by = (
            dict(zip(names, values[whole[0]], strict=True))
            if whole
            else dict(zip(of.key, key, strict=True))
        )
        return None if await self._filtered(of, by) else repr((key, by))


def _key_of(one: BoundRequest) -> Mapping[str, Any]:
    return one.fields if one.key is None else one.key


def _can_tell(one: BoundRequest) -> bool:
    if one.of is None or one.statement.verb == "CALL":
        return False
    key = _key_of(one)
    return all(key.get(name) is not None for name in one.of.key)


def row_holds(row: Mapping[str, Any], one: BoundRequest, service: ODataService) -> bool:
    """Whether the row holds what the statement names; values are compared as the service has them."""
    assert one.of is not None, "only statements about rows are compared"  # noqa: S101
    for name, wanted in one.fields.items():
        known = one.of.properties.get(name)
        if known is None:
            continue
        found: Any = row
        for step in known.path:
            found = found.get(step) if isinstance(found, Mapping) else None
        as_written = row_value(known, service.version, payload(known, service.version, wanted))
        if row_value(known, service.version, found) != as_written:
            return False
    return True
