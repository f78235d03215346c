"""The service's own text of an error, for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.http.error_words import MAX_SEARCHED_BYTES, element_text, one_line
from connectors.http.errors import UnreadableAnswer
from connectors.http.xml_tree import parse_xml


def service_error_text(body: Any) -> str:
    """The service's own words with all its details, on one line; empty where there are none.

    V4: `{"error": {"message": ..., "details": [...]}}`; V2: `message` is `{"value": ...}`, and SAP's details are in `innererror.errordetails`; XML.
    """
    if isinstance(body, bytes):
        return _joined(_xml_words(body))
    error = body.get("error", body.get("odata.error")) if isinstance(body, Mapping) else None
    if isinstance(error, str):
        return one_line(error)
    if not isinstance(error, Mapping):
        return ""
    words = [_text(error)]
    inner = error.get("innererror")
    for holder, name in ((error, "details"), (inner, "errordetails")):
        details = holder.get(name) if isinstance(holder, Mapping) else None
        if isinstance(details, Mapping):  # as V2 writes lists
            details = details.get("results", details.get("errordetail"))
        words += (
            [_detail(detail) for detail in details or [] if isinstance(detail, Mapping)]
            if isinstance(details, list)
            else []
        )
    return _joined(words) or one_line(str(error.get("code") or "error"))


MAX_DETAILS = 20
"""Details of one error that are kept; of the others only their number."""


def _joined(words: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(filter(None, map(one_line, words))))
    # A detail often repeats the message, with what it is about.
    distinct = [
        text
        for text in distinct
        if not any(text != other and other.startswith(text) for other in distinct)
    ]
    more = len(distinct) - MAX_DETAILS
    return "; ".join([*distinct[:MAX_DETAILS], *([f"and {more} more"] if more > 0 else [])])


def _detail(error: Mapping[str, Any]) -> str:
    """A detail's words, and the property that it is about."""
    words = _text(error)
    target = error.get("target") or error.get("propertyref")
    named = isinstance(target, str) and target and target not in words
    return f"{words} ({target})" if words and named else words


def _xml_words(body: bytes) -> list[str]:
    first = element_text(body, "message")
    if b"errordetail" not in body[:MAX_SEARCHED_BYTES]:
        return [first]
    try:
        root = parse_xml(body)
    except UnreadableAnswer:
        return [first]
    elements = [element for element in root.iter() if element.tag.rpartition("}")[2] == "message"]
    return [first, *("".join(element.itertext()) for element in elements)]


def _text(error: Mapping[str, Any]) -> str:
    words = error.get("message")
    if isinstance(words, Mapping):
        words = words.get("value")
    return words if isinstance(words, str) else ""


def page_title(body: Any) -> str:
    return element_text(body, "title") if isinstance(body, bytes) else ""
