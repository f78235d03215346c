"""Translates exchanges without an answer to the bridge's errors. Pure.

| what broke | a read | a write |
|---|---|---|
| TLS, an address or a header that can't be sent | ConfigurationError | ConfigurationError: nothing was sent |
| no connection | RetryLater | RetryLater: nothing was sent |
| anything later | RetryLater | OutcomeUnknown |
"""

from __future__ import annotations

from typing import Final

import httpx

from bridge.model.error_text import error_message
from bridge.model.errors import BridgeError, ConfigurationError, OutcomeUnknown, RetryLater
from bridge.tls import tls_refusal

_NOTHING_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_SENDABLE: Final = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
MAX_REASON_CHARACTERS: Final = 200


def lost_exchange(
    error: httpx.HTTPError,
    where: str,
    *,
    writes: bool,
    system: str = "the service",
    setup_error: type[ConfigurationError] = ConfigurationError,
) -> BridgeError:
    """The error for an exchange without an answer.

    - `where`: beginning of the message: the system and the request; `system`: what the request was sent to.
    - `writes`: the request may change the system.
    - `setup_error`: for a wrong address, login or TLS setting.
    """
    reason = _reason(error)
    if refusal := tls_refusal(error):
        return setup_error(f"{where}: {refusal}")
    if isinstance(error, _NOT_SENDABLE):
        if isinstance(error, httpx.LocalProtocolError):
            # Its own words quote the header.
            reason = "a header that can't be sent: a line break in a secret?"
        return setup_error(f"{where}: no request can be sent ({reason}); correct `url` or `login:`")
    if isinstance(error, _NOTHING_SENT):
        return RetryLater(
            f"{where}: {system} can't be reached ({reason}); check that it runs and that `url` names it"
        )
    if writes:
        return OutcomeUnknown(
            f"{where}: the answer was lost ({reason}); whether it took effect is unknown"
        )
    ended = isinstance(error, (httpx.ReadError, httpx.RemoteProtocolError))
    if ended and error.request.url.scheme == "https":
        # The server's alert is often overtaken by the end of its connection.
        reason += "; a service that wants a client's certificate ends connections like that: see "
        reason += "`certificate` under `tls:`"
    return RetryLater(f"{where}: no answer came ({reason})")


def _reason(error: httpx.HTTPError) -> str:
    timeouts: dict[type[httpx.HTTPError], str] = {
        httpx.ReadTimeout: "timed out",
        httpx.WriteTimeout: "timed out while sending",
        httpx.ConnectTimeout: "timed out while connecting",
        httpx.PoolTimeout: "all connections are busy",
    }
    return (
        timeouts.get(type(error))
        or " ".join(error_message(error).split())[:MAX_REASON_CHARACTERS]
        or type(error).__name__
    )
