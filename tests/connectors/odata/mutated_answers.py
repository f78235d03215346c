"""Answers of a real service, each a little wrong: seeded, so that a failure can be looked at again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, MutableMapping, MutableSequence
from typing import Any

from tests.http_proxy import CannedResponse, ForwardedRequest, HttpProxy

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    7,
    200,
    204,
    404,
    1e999,
    float("nan"),
    10**30,
    "",
    "x",
    "é\ud800",
    "http://[",
    "//elsewhere/",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "/Date(99999999999999999)/",
    "1e999999",
    "1e300000000",
    "9" * 5000,
    {"__class__": "Decimal", "decimal": "abc"},
    {"__class__": "Decimal", "decimal": [0, [1], 300000000]},
    {"__class__": "datetime", "year": "x"},
    {"__class__": "timedelta", "seconds": 1e300},
    {"__class__": []},
    {"result": None},
    "a\r\nb: c",
    [],
    [[]],
    [None],
    [{}],
    {},
    {"value": 1},
    {"error": 1},
    {"results": {}},
    {"d": []},
)
HEADERS: tuple[tuple[str, str], ...] = (
    ("content-type", ""),
    ("content-type", "text/html"),
    ("content-type", "application/json"),
    ("content-type", "multipart/mixed; boundary=x"),
    ("content-type", "application/xml"),
    ("content-encoding", "gzip"),
    ("content-encoding", "br"),
    ("date", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("date", "Mon, 01 Jan 0001 00:00:00 GMT"),
    ("date", "soon"),
    ("date", "Sun, 06 Nov 1994 08:49:37 +9999"),
    ("date", "Sun, 06 Nov 1994 08:49:37 +99999999999"),
    ("etag", "é"),
    ("location", "http://["),
    ("retry-after", "9" * 400),
    ("retry-after", "²"),
    ("retry-after", "Sun, 06 Nov 1994 08:49:37 +9999"),
    ("retry-after", "Fri, 31 Dec 9999 23:59:59 +0000"),
    ("x-csrf-token", "required"),
)
STATUSES = (
    200,
    200,
    200,
    201,
    204,
    302,
    303,
    400,
    401,
    403,
    404,
    409,
    410,
    412,
    428,
    429,
    500,
    503,
)
_BYTES = (
    b"",
    b"\x00",
    b"\xff",
    b'"',
    b"{",
    b"]",
    b"--",
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 ",
    b"9" * 50,
)


class Mutating(HttpProxy):
    """Forwards, and makes each answer but the metadata a little wrong while there is a `seed`."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.seed: int | None = None
        self._drawn = random.Random(0)  # noqa: S311 - to be repeated
        self._kept: dict[str, CannedResponse] = {}

    def begin(self, seed: int | None) -> None:
        """From now on by this seed."""
        self.seed = seed
        self._drawn = random.Random(seed)  # noqa: S311 - to be repeated

    async def _forward(self, request: ForwardedRequest) -> CannedResponse:
        if "$metadata" in request.path:
            if request.path not in self._kept:
                self._kept[request.path] = await super()._forward(request)
            return self._kept[request.path]
        answer = await super()._forward(request)
        # Some answers stay as they are, so that later ones of an exchange are met.
        if self.seed is None or self._drawn.random() < 0.3:
            return answer
        return mutated(answer, self._drawn)


def mutated(answer: CannedResponse, drawn: random.Random) -> CannedResponse:
    """The answer with one thing changed, now and then two."""
    for _ in range(drawn.choice((1, 1, 1, 2))):
        answer = drawn.choice((_json, _json, _json, _bytes, _header, _status))(answer, drawn)
    return answer


def _json(answer: CannedResponse, drawn: random.Random) -> CannedResponse:
    """Something inside of its JSON, wherever that stands: whole, or in the parts of a batch."""
    text = answer.body.decode("latin-1")
    places = [
        at for at, sign in enumerate(text) if sign == "{" and (at == 0 or text[at - 1] in "\n\r")
    ]
    if not places:
        return _bytes(answer, drawn)
    start = drawn.choice(places)
    try:
        document, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return _bytes(answer, drawn)
    places_of = list(spots(document))
    if not places_of:
        return _bytes(answer, drawn)
    spoil(*drawn.choice(places_of), drawn)
    written = json.dumps(document)
    return CannedResponse(
        answer.status, (text[:start] + written + text[end:]).encode("latin-1"), answer.headers
    )


def spots(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each container with each of its places."""
    if isinstance(document, MutableMapping):
        for name, inner in document.items():
            yield document, name
            yield from spots(inner)
    elif isinstance(document, MutableSequence):
        for at, inner in enumerate(document):
            yield document, at
            yield from spots(inner)


def spoil(inside: Any, key: Any, drawn: random.Random) -> None:
    """One place of a container becomes something odd, goes, or moves."""
    how = drawn.choice(("odd", "odd", "odd", "odd", "gone", "twice", "case"))
    if how == "gone":
        del inside[key]
    elif how == "twice" and isinstance(inside, list):
        inside.append(inside[key])
    elif how == "case" and isinstance(inside, dict):
        inside[key.upper()] = inside.pop(key)
    else:
        inside[key] = drawn.choice(ODD)


def _bytes(answer: CannedResponse, drawn: random.Random) -> CannedResponse:
    body = answer.body
    at = drawn.randrange(len(body) + 1)
    upto = drawn.choice((at, at + 1, at + drawn.randrange(20), len(body)))
    return CannedResponse(
        answer.status, body[:at] + drawn.choice(_BYTES) + body[upto:], answer.headers
    )


def _header(answer: CannedResponse, drawn: random.Random) -> CannedResponse:
    name, value = drawn.choice(HEADERS)
    kept = {header: text for header, text in answer.headers.items() if header.lower() != name}
    return CannedResponse(answer.status, answer.body, {**kept, name: value})


def _status(answer: CannedResponse, drawn: random.Random) -> CannedResponse:
    return CannedResponse(drawn.choice(STATUSES), answer.body, answer.headers)
