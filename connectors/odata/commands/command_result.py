"""The result of a command, from its answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.connector import Done
from bridge.model.canonical import canonical_json
from connectors.odata.commands.binding import BoundRequest
from connectors.odata.metadata.model import ODataService
from connectors.odata.protocol.entity_id import key_of_entity_id
from connectors.odata.protocol.entity_table import EntitySetTable, complete_row
from connectors.odata.protocol.literal import is_value_of, payload
from connectors.odata.protocol.response import ODataResponse, row_of


def command_result(
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
            # The service's own answer first; a key that is only in the address is added.
            results.append({**_result_fields(row or {}), **_result_fields(_missing_key(key, row))})
        if row is None:
            continue
        # An action may return anything, and PATCH sometimes nothing.
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
    """The key of the row that a POST created, from its address; nothing if there is none."""
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


def _result_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """An answer's values without OData's annotations; numbers as text if JSON's own would lose digits."""
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
