"""`$batch` as multipart/mixed, for V4 and V2. Pure.

Source: OData 4.01 part 1, section 11.7.7; OData 2.0, Batch Processing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from connectors.http.errors import UnreadableAnswer
from connectors.odata.protocol.request import Headers, ODataRequest
from connectors.odata.protocol.response import ODataResponse, parse_body, part_status

CRLF = b"\r\n"
MAX_PARTS = 100_000
"""Of a `$batch`; a few bytes each are a few hundred in memory."""
_BOUNDARY = re.compile(r'boundary\s*=\s*(?:"([^"]+)"|([^\s;]+))', re.IGNORECASE)


def encode(
    requests: Sequence[ODataRequest], boundary: str, *, changeset: bool, lone: bool
) -> bytes:
    """The body. `changeset`: all in one change set, done together or not at all. `lone`: writes
    may stand without one (V4); otherwise each gets one of its own (V2).
    """
    out: list[bytes] = []
    if changeset:
        out += _changeset(requests, boundary, f"{boundary}-set")
    else:
        for at, request in enumerate(requests):
            if request.writes and not lone:
                out += _changeset([request], boundary, f"{boundary}-set{at}", first=at + 1)
            else:
                out += [f"--{boundary}".encode(), *_part(request, at + 1)]
    return CRLF.join([*out, f"--{boundary}--".encode(), b""])


def _changeset(
    requests: Sequence[ODataRequest], boundary: str, inner: str, *, first: int = 1
) -> list[bytes]:
    head = [f"--{boundary}", f"Content-Type: multipart/mixed; boundary={inner}", ""]
    lines = [line.encode() for line in head]
    for at, request in enumerate(requests):
        lines += [f"--{inner}".encode(), *_part(request, first + at)]
    return [*lines, f"--{inner}--".encode()]


def _part(request: ODataRequest, number: int) -> list[bytes]:
    body = b"" if request.body is None else json.dumps(request.body).encode()
    headers = dict(request.headers)
    if body:
        headers["Content-Length"] = str(len(body))
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {number}",
        "",
        f"{request.method} {request.path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
    ]
    return [*(line.encode() for line in lines), body]


def decode(
    content_type: str, content: bytes, *, inside: bool = False
) -> list[ODataResponse | list[ODataResponse]]:
    """The answers in order; those of a change set as a list, or one error for the whole of it.
    `inside`: these are the answers of a change set. Raises UnreadableAnswer if something is missing.
    """
    try:
        return _decoded(content_type, content, inside=inside)
    except UnreadableAnswer:
        raise
    except ValueError as error:
        raise UnreadableAnswer(str(error)) from None


def _decoded(
    content_type: str, content: bytes, *, inside: bool
) -> list[ODataResponse | list[ODataResponse]]:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise UnreadableAnswer("no boundary")
    answers: list[ODataResponse | list[ODataResponse]] = []
    for part in _split(content, match[1] or match[2]):
        headers, body = _head(part)
        kind = headers.get("content-type", "")
        if not kind.lower().startswith("multipart/"):
            answers.append(_answer(body, headers.get("content-id", "")))
        elif inside:
            raise UnreadableAnswer("a change set inside of a change set")
        else:
            inner = decode(kind, body, inside=True)
            answers.append([response for response in inner if isinstance(response, ODataResponse)])
    return answers


def _split(content: bytes, boundary: str) -> list[bytes]:
    if content.count(boundary.encode()) > MAX_PARTS:
        raise UnreadableAnswer(f"more than {MAX_PARTS} parts")
    mark = re.escape(boundary.encode())
    pieces = re.split(rb"(?:\A|\r?\n)--" + mark + rb"(--)?[ \t]*(?=\r?\n|\Z)", content)
    # [preamble, closing?, part, closing?, part, ..., b"--", epilogue]
    if len(pieces) < 3 or b"--" not in pieces[1::2]:
        raise UnreadableAnswer("the parts break off")
    last = pieces[1::2].index(b"--")
    return [re.sub(rb"\A\r?\n", b"", part) for part in pieces[2::2][:last]]


def _head(part: bytes) -> tuple[Headers, bytes]:
    """Headers by their names in lower case, and what comes after the empty line."""
    if part.startswith((b"\r\n", b"\n")):
        return {}, re.sub(rb"\A\r?\n", b"", part)
    head, *rest = re.split(rb"\r?\n\r?\n", part, maxsplit=1)
    headers: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers, rest[0] if rest else b""


def _answer(http: bytes, number: str) -> ODataResponse:
    line, _, rest = http.partition(b"\n")
    words = line.decode("latin-1").split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        raise UnreadableAnswer("a part that is no HTTP answer")
    headers, body = _head(rest)
    # Its number stands before the answer, or (V2) among its headers.
    headers = {"content-id": number, **headers} if number else headers
    length = headers.get("content-length", "")
    is_whole = length.isdecimal() and int(length) <= len(body)
    body = body[: int(length)] if is_whole else body.strip()
    return ODataResponse(
        part_status(int(words[1])), headers, parse_body(headers.get("content-type", ""), body)
    )
