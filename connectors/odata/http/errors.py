"""Exchanges that broke: which of the bridge's errors that is. Pure."""

from __future__ import annotations

import httpx

from bridge.model.error_text import error_message
from bridge.model.errors import BridgeError, ConfigurationError, OutcomeUnknown, RetryLater
from bridge.tls import tls_refusal
from connectors.http.errors import AnswerTooLarge

_BEFORE = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Errors of a request that was never sent."""


def lost(error: httpx.HTTPError, place: str, *, writes: bool) -> BridgeError:
    """The error for an exchange without an answer."""
    words = _words(error)
    if refusal := tls_refusal(error):
        return ConfigurationError(f"{place}: {refusal}")
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
        if isinstance(error, httpx.LocalProtocolError):
            words = (
                "a header that can't be sent: a line break in a secret?"  # its own words tell it
            )
        return ConfigurationError(
            f"{place}: it can't be asked at all ({words}); correct `url` or `login:`"
        )
    if isinstance(error, _BEFORE):
        return RetryLater(
            f"{place}: the service can't be reached ({words}); check that it runs and that `url` names it"
        )
    if writes:
        return OutcomeUnknown(
            f"{place}: the answer was lost ({words}); whether it was done is unknown"
        )
    ended = isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
    if ended and error.request.url.scheme == "https":
        # The server's alert is often overtaken by the end of its connection.
        words += "; a service that wants a client's certificate ends connections like that: see "
        words += "`certificate` under `tls:`"
    return RetryLater(f"{place}: no answer came ({words})")


def broken(place: str, *, writes: bool) -> BridgeError:
    """The error for an answer that breaks off, or is not what it says."""
    if writes:
        return OutcomeUnknown(f"{place}: the answer breaks off; whether it was done is unknown")
    return RetryLater(f"{place}: the answer breaks off or is no JSON")


def too_large(place: str, why: AnswerTooLarge, *, writes: bool) -> BridgeError:
    """The error for an answer that nobody could keep."""
    size = f"the answer has {why}"
    if writes:
        return OutcomeUnknown(f"{place}: {size}; whether it was done is unknown")
    return ConfigurationError(
        f"{place}: {size}: the service gives all rows at once, or very large ones; let it page, or "
        "ask for fewer (`page`, `batch`, `read_keys` under `capture:`)"
    )


def _words(error: httpx.HTTPError) -> str:
    kinds: dict[type[httpx.HTTPError], str] = {
        httpx.ReadTimeout: "timed out",
        httpx.WriteTimeout: "timed out while sending",
        httpx.ConnectTimeout: "timed out while connecting",
        httpx.PoolTimeout: "all connections are busy",
    }
    return (
        kinds.get(type(error))
        or " ".join(error_message(error).split())[:200]
        or type(error).__name__
    )
