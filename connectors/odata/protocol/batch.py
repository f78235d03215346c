"""`$batch`: several requests in one, as JSON where the service takes it, multipart otherwise. Pure.

Source: OData JSON Format 4.01, section 19.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from connectors.http.errors import UnreadableAnswer
from connectors.odata.protocol import multipart
from connectors.odata.protocol.request import Headers, ODataRequest
from connectors.odata.protocol.response import ODataResponse, part_status

Format = Literal["json", "multipart"]

FORM_REFUSED_STATUSES = frozenset({400, 404, 405, 406, 411, 415, 501})
"""Statuses of a whole `$batch` that mean: not in this form. It had no effect."""

SKIPPED = ODataResponse(
    424, {}, {"error": {"message": "not carried out: another request of it failed"}}
)
"""The answer of a request that the service left out because an earlier one failed."""


def json_body(requests: Sequence[ODataRequest], *, changeset: bool) -> Any:
    """The body of a JSON batch."""
    items = []
    for at, request in enumerate(requests):
        item: dict[str, Any] = {
            "id": str(at + 1),
            "method": request.method.lower(),
            "url": request.path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
        }
        if changeset:
            item["atomicityGroup"] = "all"
        if request.body is not None:
            item["body"] = request.body
        items.append(item)
    return {"requests": items}


def json_responses(body: Any, count: int, *, changeset: bool) -> list[ODataResponse]:
    """The answers in the order of the requests. Raises UnreadableAnswer if it is no answer of a batch."""
    responses = body.get("responses") if isinstance(body, dict) else None
    if not isinstance(responses, list):
        raise UnreadableAnswer("no `responses`")
    responses_by_id: dict[str, ODataResponse] = {}
    for item in responses:
        if not isinstance(item, dict):
            raise UnreadableAnswer("a response that is no object")
        content = item.get("body")
        if isinstance(content, str):
            content = content.encode(errors="replace")
        status = part_status(item.get("status"))
        responses_by_id[str(item.get("id"))] = ODataResponse(
            status, _headers(item.get("headers")), content
        )
    aligned = [responses_by_id.get(str(at + 1)) for at in range(count)]
    return _filled(aligned, list(responses_by_id.values()), changeset=changeset)


def _headers(headers: Any) -> Headers:
    """By their names in lower case; none if the service leaves them out. Raises UnreadableAnswer."""
    if not headers:
        return {}
    if not isinstance(headers, dict):
        raise UnreadableAnswer("headers that are none")
    if not all(isinstance(value, (str, int, float, Decimal)) for value in headers.values()):
        raise UnreadableAnswer("a header that is no text")
    return {name.lower(): str(value) for name, value in headers.items()}


def multipart_responses(
    content_type: str, content: bytes, count: int, *, changeset: bool
) -> list[ODataResponse]:
    """The same of a multipart batch."""
    parts = multipart.decode(content_type, content)
    aligned: Sequence[ODataResponse | None]
    if changeset:
        if len(parts) != 1:
            raise UnreadableAnswer("a change set has one answer")
        whole = [parts[0]] if isinstance(parts[0], ODataResponse) else parts[0]
        aligned = _in_order(whole) if len(whole) == count else []
    else:
        whole = [
            part if isinstance(part, ODataResponse) else (part or [SKIPPED])[0] for part in parts
        ]
        aligned = whole
    return _filled([*aligned, *[None] * count][:count], whole, changeset=changeset)


def _in_order(responses: Sequence[ODataResponse]) -> list[ODataResponse]:
    """The answers of a change set come in any order, by the Content-ID of their requests, where the
    service sends it.
    """
    by_content_id = {response.headers.get("content-id", ""): response for response in responses}
    content_ids = [str(at + 1) for at in range(len(responses))]
    return (
        [by_content_id[number] for number in content_ids]
        if by_content_id.keys() == set(content_ids)
        else list(responses)
    )


def _filled(
    aligned: Sequence[ODataResponse | None], responses: Sequence[ODataResponse], *, changeset: bool
) -> list[ODataResponse]:
    """A change set that failed has one answer, which counts for all its requests. Raises UnreadableAnswer
    for one that succeeded and has too few answers: it took effect all the same.
    """
    if None not in aligned or not changeset:
        return [SKIPPED if response is None else response for response in aligned]
    failed = next((response for response in responses if not response.good), None)
    if failed is None:
        raise UnreadableAnswer("a change set without an answer for each request")
    return [failed if response is None else response for response in aligned]
