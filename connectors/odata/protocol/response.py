"""Requests and answers of HTTP, as this connector's values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json
from connectors.odata.protocol.request import Headers

MAX_COUNT_DIGITS = 18
"""Of a number of rows; what has more is no such number."""


@dataclass(frozen=True, slots=True)
class ODataResponse:
    """`body` is parsed JSON (numbers with a fraction as Decimal), bytes of anything else, or None.

    The names of `headers` are in lower case.
    """

    status: int
    headers: Headers
    body: Any

    @property
    def good(self) -> bool:
        """Whether the status is a success; `connectors.odata.http.errors` checks more than that."""
        return 200 <= self.status < 300


class EntityPage(NamedTuple):
    """Rows as JSON objects; where the next page and the next changes are.

    Some services return a delta link with each page: the first one misses nothing. `total`: number of all
    rows, if requested and answered.
    """

    rows: Sequence[Mapping[str, Any]]
    next_link: str | None
    delta_link: str | None
    total: int | None = None


def parse_body(content_type: str, content: bytes) -> Any:
    """JSON if the content type says so, otherwise bytes; None if empty. Raises UnreadableAnswer for
    invalid or incomplete JSON.
    """
    if not content:
        return None
    return parse_json(content) if "json" in content_type.lower() else content


def part_status(status: Any) -> int:
    """The status of a response inside of a batch. Raises UnreadableAnswer for what is none."""
    number = isinstance(status, (int, Decimal)) and not isinstance(status, bool)
    finite = number and (isinstance(status, int) or status.is_finite())
    if not finite or not 100 <= status <= 599 or status != int(status):
        raise UnreadableAnswer("an answer without a status")
    return int(status)


def page_of(body: Any) -> EntityPage | None:
    """The page that the JSON of a collection holds, V4's and V2's; None where it is none."""
    if not isinstance(body, Mapping):
        return None
    inside = _v2_content(body)
    if isinstance(body.get("value"), list):
        # V3's annotations have no sign before them.
        following, delta, count = (
            next(
                filter(None, (body.get(f"{sign}{name}") for sign in ("@odata.", "@", "odata."))),
                None,
            )
            for name in ("nextLink", "deltaLink", "count")
        )
        return _page(body["value"], following, delta, count)
    if isinstance(inside, list):
        return _page(inside, None, None, None)
    if isinstance(inside, Mapping) and isinstance(inside.get("results"), list):
        count = inside.get("__count")
        return _page(inside["results"], inside.get("__next"), inside.get("__delta"), count)
    return None


def row_count(value: Any) -> int | None:
    """The number of rows that a service writes, as a number or as text; None for anything else."""
    text = str(value)
    is_count = text.isdecimal() and text.isascii() and len(text) <= MAX_COUNT_DIGITS
    return int(text) if is_count else None


def _page(rows: Sequence[Any], following: Any, delta: Any, count: Any) -> EntityPage | None:
    if not all(isinstance(row, Mapping) for row in rows):
        return None
    if not all(isinstance(link, str) for link in (following, delta) if link):
        return None
    return EntityPage(rows, following or None, delta or None, row_count(count))


def row_of(body: Any) -> Mapping[str, Any] | None:
    """The row that the JSON of one entity holds, V4's and V2's; None where it is none."""
    if not isinstance(body, Mapping):
        return None
    if body == {"d": None}:
        return None
    inside = _v2_content(body)
    if inside is None:
        return body
    return inside if isinstance(inside, Mapping) and not _is_list(inside) else None


_LIST_MEMBERS = frozenset({"results", "__count", "__next", "__delta"})


def _v2_content(body: Mapping[str, Any]) -> Any:
    """What V2's envelope holds, which has one member; None where it is none: a row of V4 may have a
    property that is called `d` too, beside its key or a context.
    """
    inside = body.get("d") if len(body) == 1 else None
    return inside if isinstance(inside, (Mapping, list)) else None


def _is_list(inside: Mapping[str, Any]) -> bool:
    """Whether V2's envelope holds a list; a row may have a property that is called `results`."""
    return isinstance(inside.get("results"), list) and inside.keys() <= _LIST_MEMBERS
