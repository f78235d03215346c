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
      sent again, because its guard decides then; whether another one did happen is unknown.
    - CALL: unknown.
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
                bind(statement, self._service, effect.parameters)
                for statement in parse(effect.statement)
            ]
            # Of a change set all happened or nothing: one of them that can be probed is enough.
            conclusive = [statement for statement in bounds if _can_tell(statement)]
            if not conclusive:
                raise Unsupported(f"command {effect.command_id!r} can't be probed: {_HOW}")
            return await self._by_key(effect, conclusive[0], len(bounds))

    def _null_hint(self, effect: Effect) -> str:
        """What may be the matter where `probe:` asks for a null by `$filter`."""
        bounds = [bind(bound, self._service, effect.parameters) for bound in parse(effect.probe)]
        names = [
            name
            for bound in bounds
            if bound.key is None
            for name, wanted in bound.fields.items()
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
        if any(statement.verb != "GET" for statement in statements):
            raise Unsupported(f"command {effect.command_id!r}: `probe:` asks by GET alone")
        for bound in [bind(each, self._service, effect.parameters) for each in statements]:
            assert bound.entity_set is not None, "GET names an entity set"  # noqa: S101
            if bound.key is not None:
                row = await self._row(bound.entity_set, bound.key)
                holds = row is not None and row_holds(row, bound, self._service)
            else:
                holds = await self._any(effect, bound.entity_set, bound.fields)
            if not holds:
                return None
        return Done(rows=1)

    async def _by_key(self, effect: Effect, bound: BoundRequest, count: int) -> Done | None:
        assert bound.entity_set is not None, "what can be probed names a row"  # noqa: S101
        row = await self._row(bound.entity_set, _key_of(bound))
        verb = bound.statement.verb
        return conclude_from_row(
            effect,
            row=bound.request.path,
            deletes=verb == "DELETE",
            exists=row is not None,
            holds=row is not None and row_holds(row, bound, self._service),
            repeatable=verb == "PATCH",
            done=Done(rows=count),
            advice=_HOW,
        )

    async def _row(self, entity_set: EntitySet, key: Mapping[str, Any]) -> Mapping[str, Any] | None:
        request = ODataRequest("GET", row_path(entity_set, self._service.version, key))
        answer = await self._client.ask(request)
        if answer.status == 404:
            return None
        self._client.check(request, answer)
        row = row_of(answer.body)
        if row is None or any(
            value_at(row, entity_set.properties[name].path) in (None, MISSING)
            for name in entity_set.key
        ):
            raise OutcomeUnknown(
                f"{entity_set.name}: what came for a row is none; it is asked for again"
            )
        if not is_row_of(entity_set, self._service.version, key, row):
            raise Unsupported(
                f"{entity_set.name}: the service gives another row than the one with the key that is asked for, "
                "so that nothing can be concluded from it"
            )
        return row

    async def _any(self, effect: Effect, entity_set: EntitySet, fields: Mapping[str, Any]) -> bool:
        """Whether there is a row with these values. Raises Unsupported where the service doesn't heed
        `$filter`: a row that nobody asked for is no hit, and an empty answer no miss.
        """
        rows = await self._filtered(entity_set, fields)
        if any(holds_fields(entity_set, self._service.version, fields, row) for row in rows):
            return True
        if rows:
            raise Unsupported(
                self._ignored(effect, entity_set, "gives rows that don't hold what was asked")
            )
        if fields and not await self._filters(entity_set, fields):
            raise Unsupported(self._ignored(effect, entity_set, "doesn't find a row that is there"))
        return False

    def _ignored(self, effect: Effect, entity_set: EntitySet, how: str) -> str:
        return (
            f"command {effect.command_id!r}: `probe:` can't tell: the service doesn't heed `$filter` of "
            f"{entity_set.name}, and {how}. Ask for the row by its key in `probe:`, as in GET "
            f"{entity_set.name}(:key), or have the service answer its filters"
        )

    async def _filtered(
        self, entity_set: EntitySet, fields: Mapping[str, Any]
    ) -> list[Mapping[str, Any]]:
        query = {"$top": "1", "$select": self._select(entity_set, fields)}
        if fields:
            query["$filter"] = condition(entity_set, self._service, fields)
        page = await self._page(entity_set, query)
        rows = list(page.rows)
        # An empty page may come before others.
        try:
            if not rows:
                rows += [
                    row
                    async for later_page in self._client.further(page, entity_set.name)
                    for row in later_page.rows
                ]
        except HistoryLost as error:
            raise OutcomeUnknown(str(error)) from error
        return rows

    def _select(self, entity_set: EntitySet, fields: Mapping[str, Any]) -> str:
        tops = (
            entity_set.properties[name].path[0] for name in fields if name in entity_set.properties
        )
        return ",".join(dict.fromkeys([*entity_set.key, *tops]))

    async def _page(self, entity_set: EntitySet, query: Mapping[str, str]) -> EntityPage:
        request = ODataRequest("GET", with_query(entity_set.name, query))
        answer = await self._client.ask(request)
        self._client.check(request, answer)
        page = page_of(answer.body)
        if page is None:
            raise OutcomeUnknown(f"{entity_set.name}: what came for a list of rows is none")
        return page

    async def _filters(self, entity_set: EntitySet, fields: Mapping[str, Any]) -> bool:
        """Whether the same filter finds a row that is there by the values that it has; of an empty
        set, yes.
        """
        return await finds_existing_rows(
            partial(self._overlooked, entity_set, list(fields)), entity_set.name
        )

    async def _overlooked(self, entity_set: EntitySet, names: list[str]) -> str | None:
        """A row that is there, and that a filter by its own values doesn't find."""
        version = self._service.version
        query = {
            "$top": str(MAX_CONTROL_ROWS),
            "$select": self._select(entity_set, dict.fromkeys(names)),
        }
        page = await self._page(entity_set, query)
        if not page.rows:
            return None
        values = [row_values(entity_set, version, names, row) for row in page.rows]
        whole = [
            index
            for index, row_parts in enumerate(values)
            if not any(part in (None, MISSING) for part in row_parts)
        ]
        row = page.rows[whole[0] if whole else 0]
        key = row_values(entity_set, version, entity_set.key, row)
        # Where no row holds all of these, at least its own key must find one.
        by = (
            dict(zip(names, values[whole[0]], strict=True))
            if whole
            else dict(zip(entity_set.key, key, strict=True))
        )
        return None if await self._filtered(entity_set, by) else repr((key, by))


def _key_of(bound: BoundRequest) -> Mapping[str, Any]:
    return bound.fields if bound.key is None else bound.key


def _can_tell(bound: BoundRequest) -> bool:
    if bound.entity_set is None or bound.statement.verb == "CALL":
        return False
    key = _key_of(bound)
    return all(key.get(name) is not None for name in bound.entity_set.key)


def row_holds(row: Mapping[str, Any], bound: BoundRequest, service: ODataService) -> bool:
    """Whether the row holds what the statement names; values are compared as the service has them."""
    assert bound.entity_set is not None, "only statements about rows are compared"  # noqa: S101
    for name, wanted in bound.fields.items():
        p = bound.entity_set.properties.get(name)
        if p is None:
            continue
        json: Any = row
        for step in p.path:
            json = json.get(step) if isinstance(json, Mapping) else None
        as_written = row_value(p, service.version, payload(p, service.version, wanted))
        if row_value(p, service.version, json) != as_written:
            return False
    return True
