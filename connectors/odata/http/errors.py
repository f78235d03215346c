"""Which error an answer is, and so what the caller should do. Pure.

| answer | a read | a write |
|---|---|---|
| 401 | ConfigurationError | ConfigurationError |
| 403 | ConfigurationError | MissingRight `forbidden` |
| a redirect, a web page | ConfigurationError | ConfigurationError |
| 303, a web page that says 2xx | ConfigurationError | OutcomeUnknown: it may have taken effect before the redirect |
| 404; 409, 412; 428; 501 | Rejected `not_found`; `conflict`; `etag_required`; `not_supported` | the same |
| another 4xx | Rejected `refused` | the same |
| 408, 502, 504 | RetryLater | OutcomeUnknown: it may have reached the service |
| 429; 503 | SystemBusy; RetryLater: with its Retry-After | the same: it had no effect |
| 5xx, or a 200, with an error of the service in it | Rejected `legacy_error` | the same |
| 5xx without a word; JSON that breaks off | RetryLater | OutcomeUnknown |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.model.errors import (
    BridgeError,
    ConfigurationError,
    LoginRefused,
    MissingRight,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    SystemBusy,
)
from bridge.model.withheld_error_text import WITHHELD, withheld
from connectors.http.dates import retry_after_seconds
from connectors.http.error_words import MAX_SEARCHED_BYTES, line_of
from connectors.http.errors import AnswerTooLarge
from connectors.odata.http.error_text import page_title, service_error_text
from connectors.odata.protocol.request import redacted_url
from connectors.odata.protocol.response import ODataResponse

_CODES = {
    404: "not_found",
    409: "conflict",
    412: "conflict",
    428: "etag_required",
    501: "not_supported",
}
_LOST = frozenset({408, 502, 504})
_TOO_MANY_REQUESTS = 429
_AWAY = frozenset({425, 503})
_ERROR = re.compile(rb"\s*(?:<\?xml[^>]*\?>\s*)?<(?:\w+:)?error\b", re.IGNORECASE)
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html)\b", re.IGNORECASE | re.DOTALL)


def withhold_error_text(answer: ODataResponse) -> ODataResponse:
    """The same answer with the service's code, if it has one, in place of its text."""
    body = answer.body
    if answer.good and not is_web_page(answer) and not _is_error(body):
        return answer
    if is_web_page(answer):
        return replace(answer, body=f"<html><title>{WITHHELD}</title>".encode() if body else body)
    if not service_error_text(body) and not _error_suffix(answer):
        return answer
    error = body.get("error", body.get("odata.error")) if isinstance(body, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    return replace(answer, body={"error": {"message": withheld(code)}})


def response_error(
    answer: ODataResponse, where: str, *, writes: bool, now: datetime
) -> BridgeError | None:
    """The error that the answer is, or None; `where` is for people and begins the message."""
    if 300 <= answer.status < 400:
        return _moved(answer, where, writes=writes)
    if answer.status == 401:
        return LoginRefused(
            f"{where}: the login was refused (401){_error_suffix(answer)}; check the user and the password "
            "in `url`, or `login:`"
        )
    if is_web_page(answer):
        return _page(answer, where, writes=writes, now=now)
    if answer.good:
        words = service_error_text(answer.body) if _is_error(answer.body) else ""
        return Rejected("legacy_error", f"{where}: {words}") if words else None
    return _refusal(answer, where, writes=writes, now=now)


def _refusal(answer: ODataResponse, where: str, *, writes: bool, now: datetime) -> BridgeError:
    text = f"{where}: {answer.status}{_error_suffix(answer)}"
    if answer.status == 403:
        if writes:
            return MissingRight("forbidden", f"{text}; the login has no right to do that")
        return ConfigurationError(f"{text}; the login has no right to read that: grant it")
    if answer.status == _TOO_MANY_REQUESTS:
        return SystemBusy(text, after=retry_after_seconds(answer.headers, now))
    if answer.status in _AWAY:
        return RetryLater(text, after=retry_after_seconds(answer.headers, now))
    if answer.status in _CODES:
        return Rejected(_CODES[answer.status], text)
    if answer.status in _LOST or (answer.status >= 500 and not service_error_text(answer.body)):
        if writes:
            return OutcomeUnknown(f"{text}; whether it was done is unknown")
        return RetryLater(text, after=retry_after_seconds(answer.headers, now))
    if answer.status >= 500:
        return Rejected("legacy_error", text)
    return Rejected("refused", text)


def _moved(answer: ODataResponse, where: str, *, writes: bool) -> BridgeError:
    to = redacted_url(answer.headers.get("location", "")) or "nowhere"
    if writes and answer.status == 303:
        return OutcomeUnknown(
            f"{where}: the service redirects (303) to {to}, as after a request that took effect; "
            "whether it did is unknown"
        )
    return ConfigurationError(
        f"{where}: the service redirects ({answer.status}) to {to}; if it has moved, correct `url`; "
        "if that is a login page, declare under `login:` how to log in"
    )


def _page(answer: ODataResponse, where: str, *, writes: bool, now: datetime) -> BridgeError:
    if answer.status >= 400:
        return _refusal(answer, where, writes=writes, now=now)
    title = page_title(answer.body)
    called = f" ({title!r})" if title else ""
    if writes:
        return OutcomeUnknown(
            f"{where}: a web page{called} came instead of OData; whether it was done is unknown"
        )
    return ConfigurationError(
        f"{where}: a web page{called} came instead of OData; `url` should be the root of the "
        "service, and a login page means that `login:` isn't what the service requires"
    )


def _is_error(body: Any) -> bool:
    """Whether an answer with a good status is only an error: rows may have a property `error`."""
    if isinstance(body, bytes):
        return _ERROR.match(body[:MAX_SEARCHED_BYTES]) is not None
    if not isinstance(body, Mapping):
        return False
    names = {name for name in body if not name.startswith("@")}
    if len(names) != 1 or not names <= {"error", "odata.error"}:
        return False
    # A row with one property and its context may have a text of that name.
    has_context = "@odata.context" in body or "@context" in body
    return not has_context or isinstance(body[names.pop()], Mapping)


def is_web_page(answer: ODataResponse) -> bool:
    """Whether it is HTML, whatever its status says."""
    if "html" in answer.headers.get("content-type", "").lower():
        return True
    return (
        isinstance(answer.body, bytes) and _PAGE.match(answer.body[:MAX_SEARCHED_BYTES]) is not None
    )


def needs_csrf_token(answer: ODataResponse) -> bool:
    """Whether a write was refused because its CSRF token is missing or old."""
    wanted = answer.headers.get("x-csrf-token", "").lower() == "required"
    return answer.status == 403 and wanted


def _error_suffix(answer: ODataResponse) -> str:
    words = service_error_text(answer.body) or page_title(answer.body)
    if not words and isinstance(answer.body, bytes) and not is_web_page(answer):
        words = line_of(answer.body)
    return f": {words}" if words else ""


REFUSAL_CODES = frozenset({"refused", "not_supported"})
"""Codes of Rejected for requests that the service never accepts."""


def is_refusal(error: Rejected) -> bool:
    """Whether the service refuses the request itself; otherwise it failed, or the answer is wrong."""
    return error.code in REFUSAL_CODES


def broken_response(where: str, *, writes: bool) -> BridgeError:
    """The error for an answer that breaks off, or has another format than declared."""
    if writes:
        return OutcomeUnknown(f"{where}: the answer breaks off; whether it was done is unknown")
    return RetryLater(f"{where}: the answer breaks off or is no JSON")


def oversized_response(where: str, error: AnswerTooLarge, *, writes: bool) -> BridgeError:
    """The error for an answer that is too large."""
    size = f"the answer has {error}"
    if writes:
        return OutcomeUnknown(f"{where}: {size}; whether it was done is unknown")
    return ConfigurationError(
        f"{where}: {size}: the service returns all rows at once, or very large ones; make it use pages, or "
        "ask for fewer (`page`, `max_batch_requests`, `max_keys_per_read` under `capture:`)"
    )
