"""The HTTP client of a connector, with bounds for answers and redaction of headers' secrets."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

from connectors.http.bounded_body import ACCEPT_ENCODING, MAX_BODY_BYTES, bound_answers
from connectors.http.secret_headers import SecretHeaders

RequestHook = Callable[[httpx.Request], Awaitable[None]]


def http_client(
    *,
    tls: ssl.SSLContext,
    timeout: httpx.Timeout,
    limits: httpx.Limits,
    auth: httpx.Auth | None = None,
    trust_env: bool = True,
    max_body_bytes: int = MAX_BODY_BYTES,
    on_request: Sequence[RequestHook] = (),
) -> httpx.AsyncClient:
    """A client whose bodies raise UnreadableAnswer beyond `max_body_bytes`.

    - `on_request`: called with each request when it is sent, after those of a login.
    - `trust_env`: take proxies from the environment.
    """
    secret_headers = SecretHeaders()
    return httpx.AsyncClient(
        auth=auth,
        verify=tls,
        timeout=timeout,
        limits=limits,
        trust_env=trust_env,
        event_hooks={
            "request": [secret_headers.sent, *on_request],
            "response": [secret_headers.received, bound_answers(max_body_bytes)],
        },
        headers={"Accept-Encoding": ACCEPT_ENCODING},
    )
