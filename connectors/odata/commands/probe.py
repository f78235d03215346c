"""Probes whether a command took effect whose answer was lost."""

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
    """Probes by the command's `probe:`; without one, by the command's own statement.

    - POST: whether a row exists with its key, if the command has the whole key, and holds what was to be
    set; otherwise it may be somebody else's.
    - DELETE: whether the row is gone.
    - PATCH: whether the row holds what was to be set. If it doesn't, a guarded command may be sent again,
    because its guard then decides; for any other the outcome is unknown.
    - CALL: unknown.
    """

    def __init__(self, client: ODataClient, service: ODataService) -> None:
        self._client = client
        self._service = service

    async def ask(self, effect: Effect) -> Done | None:
        """Done, or None if it certainly did not happen. Raises Unsupported, OutcomeUnknown if the probe
        was refused, RetryLater.
        """
        with probe_errors(effect):
            if effect.probe:
                return await self._declared(effect)
            bounds = [
                bind(statement, self._service, effect.parameters)
                for statement in parse(effect.statement)
            ]
            # A change set happened completely or not at all: probing one of its statements is enough.
            conclusive = [statement for statement in bounds if _can_tell(statement)]
            if not conclusive:
                raise Unsupported(f"command {effect.command_id!r} can't be probed: {_HOW}")
            return await self._by_key(effect, conclusive[0], len(bounds))

    def _null_hint(self, effect: Effect) -> str:
        """A hint for a `probe:` that filters by null."""
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
            f"; `probe:` asks for {', '.join(names)} by `eq null`, which some services don't support: ask for the "
            "row by its key instead, as in GET Orders(:key), and nulls are compared in what comes"
        )

    async def _declared(self, effect: Effect) -> Done | None:
        try:
            return await self._all_hold(effect)
        except Rejected as error:
            raise Rejected(error.code, f"{error}{self._null_hint(effect)}") from error

    async def _all_hold(self, effect: Effect) -> Done | None:
        """Done if each row that `probe:` names exists and has the given values."""
        statements = parse(effect.probe)
        if any(statement.verb != "GET" for statement in statements):
            raise Unsupported(f"command {effect.command_id!r}: `probe:` may only use GET")
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
                f"{entity_set.name}: the answer to a read of the row is no row; it is read again"
            )
        if not is_row_of(entity_set, self._service.version, key, row):
            raise Unsupported(
                f"{entity_set.name}: the service returned another row than the one with the requested key, "
                "so that nothing can be concluded from it"
            )
        return row

    async def _any(self, effect: Effect, entity_set: EntitySet, fields: Mapping[str, Any]) -> bool:
        """Whether a row has these values. Raises Unsupported if the service ignores `$filter`: then
        neither a wrong row nor an empty answer proves anything.
        """
        rows = await self._filtered(entity_set, fields)
        if any(holds_fields(entity_set, self._service.version, fields, row) for row in rows):
            return True
        if rows:
            raise Unsupported(
                self._ignored(effect, entity_set, "returns rows that don't fit the filter")
            )
        if fields and not await self._filters(entity_set, fields):
            raise Unsupported(self._ignored(effect, entity_set, "doesn't find an existing row"))
        return False

    def _ignored(self, effect: Effect, entity_set: EntitySet, how: str) -> str:
        return (
            f"command {effect.command_id!r}: `probe:` can't decide: the service ignores `$filter` of "
            f"{entity_set.name}, and {how}. Ask for the row by its key in `probe:`, as in GET "
            f"{entity_set.name}(:key), or make the service obey its filters"
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
            raise OutcomeUnknown(f"{entity_set.name}: the answer is no list of rows")
        return page

    async def _filters(self, entity_set: EntitySet, fields: Mapping[str, Any]) -> bool:
        """Whether the same filter finds an existing row by its own values; True for an empty set."""
        return await finds_existing_rows(
            partial(self._overlooked, entity_set, list(fields)), entity_set.name
        )

    async def _overlooked(self, entity_set: EntitySet, names: list[str]) -> str | None:
        """An existing row that a filter by its own values doesn't find."""
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
        # If no row has all of these, at least its own key must find one.
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
    """Whether the row has the statement's values, compared in the service's own form."""
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
