"""Requests, and how their URLs are put together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

Headers = Mapping[str, str]


WRITING_METHODS = frozenset({"POST", "PUT", "PATCH", "MERGE", "DELETE"})


_SAFE = "()',:@!*~$/="
"""Characters of a query's value that need no encoding, so that URLs stay short and readable. Some
servers end a parameter at a semicolon.
"""


@dataclass(frozen=True, slots=True)
class ODataRequest:
    """One request; `path` is relative to the service's root, percent-encoded, with its query.

    `body` is JSON-able, bytes, or None. `effect`: whether it may change something, if its method
    doesn't show it. `begin` is called before each time that it is sent, as
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
        """Whether the service's data may be different afterwards."""
        return self.method in WRITING_METHODS if self.effect is None else self.effect


def with_query(path: str, params: Mapping[str, str]) -> str:
    """`path` with `params` after it, percent-encoded: spaces as %20, which every service reads."""
    query = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in params.items())
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def redacted_url(url: str) -> str:
    """A URL for people: without login and query, which may contain anything."""
    try:
        split = urlsplit(url)
    except ValueError:
        return "an invalid URL"
    host = split.netloc.rpartition("@")[2]
    return f"{split.scheme}://{host}{split.path}" if host else split.path


def path_segment(text: str) -> str:
    """A key's literal inside of a path. A slash in it must not end the segment, nor a semicolon."""
    return quote(text, safe="()',:@!*~$=")
