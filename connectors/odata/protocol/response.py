"""Requests and answers of HTTP, as this connector passes them around. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from bridge.model.errors import Rejected
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json

Headers = Mapping[str, str]


Unreadable = UnreadableAnswer

MOST_DIGITS = 19
"""Of a number of rows: more are none."""
WRITES = frozenset({"POST", "PUT", "PATCH", "MERGE", "DELETE"})
_SAFE = "()',:@!*~$/="
"""Characters of a query's value that need no encoding, so that URLs stay short and readable. Some
servers end a parameter at a semicolon.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `path` is relative to the service's root, percent-encoded, with its query.

    `body` is JSON-able, bytes, or None. `effect`: whether it may change something, where its method
    doesn't tell. `begin` is called in front of each time that it is sent, as
    `bridge.connector.Effect.begin`.
    """

    method: str
    path: str
    body: Any = None
    headers: Headers = field(default_factory=dict)
    effect: bool | None = None
    begin: Callable[[], None] | None = None

    @property
    def writes(self) -> bool:
        """Whether the service may hold something else afterwards."""
        return self.method in WRITES if self.effect is None else self.effect


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is parsed JSON (numbers with a fraction as Decimal), bytes of anything else, or None.

    The names of `headers` are in lower case.
    """

    status: int
    headers: Headers
    body: Any

    @property
    def good(self) -> bool:
        """Whether the status says so; `faults` looks at more than that."""
        return 200 <= self.status < 300


class Page(NamedTuple):
    """Rows as JSON objects; where the next page and the next changes are.

    Some services hand out a delta link with each page: the first one misses nothing. `total`: how many
    rows there are in all, where that was asked for and is told.
    """

    rows: Sequence[Mapping[str, Any]]
    next_link: str | None
    delta_link: str | None
    total: int | None = None


def with_query(path: str, params: Mapping[str, str]) -> str:
    """`path` with `params` behind it, percent-encoded: spaces as %20, which every service reads."""
    query = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in params.items())
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def shown(url: str) -> str:
    """A URL for people: without login and query, which may hold anything."""
    try:
        split = urlsplit(url)
    except ValueError:
        return "an address that is none"
    host = split.netloc.rpartition("@")[2]
    return f"{split.scheme}://{host}{split.path}" if host else split.path


def segment(text: str) -> str:
    """A key's literal inside of a path. A slash in it must not end the segment, nor a semicolon."""
    return quote(text, safe="()',:@!*~$=")


def parsed(content_type: str, content: bytes) -> Any:
    """JSON where that is what it is, else the bytes; None when there are none.

    Raises Unreadable for JSON that breaks off or isn't any.
    """
    if not content:
        return None
    return parse_json(content) if "json" in content_type.lower() else content


def status_of(told: Any) -> int:
    """The status that an answer inside of a batch tells. Raises Unreadable for what is none."""
    number = isinstance(told, (int, Decimal)) and not isinstance(told, bool)
    if not number or not 100 <= told <= 599 or told != int(told):
        raise Unreadable("an answer without a status")
    return int(told)


def page_of(body: Any) -> Page | None:
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


def _count(number: Any) -> int | None:
    text = str(number)
    return int(text) if text.isdecimal() and text.isascii() and len(text) < MOST_DIGITS else None


def _page(rows: Sequence[Any], following: Any, delta: Any, count: Any) -> Page | None:
    if not all(isinstance(row, Mapping) for row in rows):
        return None
    if not all(isinstance(link, str) for link in (following, delta) if link):
        return None
    return Page(rows, following or None, delta or None, _count(count))


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


def etag_of(row: Mapping[str, Any], headers: Headers | None = None) -> str | None:
    """The row's ETag, from its JSON or from the answer's headers. Raises Rejected (`bad_etag`)."""
    metadata = row.get("__metadata")
    found = row.get("@odata.etag") or row.get("@etag")
    if not found and isinstance(metadata, Mapping):
        found = metadata.get("etag")
    found = found or (headers or {}).get("etag") or None
    if found is not None and not (
        isinstance(found, str) and found.isascii() and found.isprintable()
    ):
        raise Rejected("bad_etag", "the row's ETag is none that a request could carry")
    return found
