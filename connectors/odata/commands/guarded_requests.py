"""The requests of a command, each with the version of the row that it may change. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.connector import Effect
from connectors.odata.commands.binding import BoundRequest
from connectors.odata.commands.current_rows import CurrentRow, row_address
from connectors.odata.metadata.model import ODataService
from connectors.odata.protocol.request import ODataRequest

ANY_VERSION = "*"
"""If-Match of a command without `expect`: the row must exist, with any content. Without it, a PATCH of a
missing row creates one in V4.
"""


def guarded_requests(
    service: ODataService,
    effect: Effect,
    bounds: Sequence[BoundRequest],
    rows: Mapping[str, CurrentRow | None],
) -> list[ODataRequest]:
    """The requests to send. If several change one row, only the first has the version that was read: the
    row has another version after it.
    """
    requests: list[ODataRequest] = []
    changed: set[str] = set()
    for bound in bounds:
        path = _changed_path(service, bound, effect)
        row = rows.get(path) if path and path not in changed else None
        changed.add(path)
        requests.append(_guarded(bound, effect, row))
    return requests


def _changed_path(service: ODataService, bound: BoundRequest, effect: Effect) -> str:
    if bound.entity_set is not None:
        return "" if bound.key is None else row_address(service, bound.entity_set, bound.key)
    if _calls_on(bound, effect):
        return row_address(service, service.sets.get(effect.table), effect.key)
    return ""


def _guarded(bound: BoundRequest, effect: Effect, row: CurrentRow | None) -> ODataRequest:
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


def _calls_on(bound: BoundRequest, effect: Effect) -> bool:
    """Whether a function import of V2 refers to the command's row: its arguments have the key."""
    return bool(effect.key) and all(
        name in bound.fields and bound.fields[name] == value for name, value in effect.key.items()
    )
