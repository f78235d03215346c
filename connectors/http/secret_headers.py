"""Tokens, sessions and cookies between a client and its service: each is registered with the redactor
when it is sent or received, because a service may repeat it in any answer.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

import httpx

from bridge.model.redaction import SecretGenerations

MIN_COOKIE_CHARACTERS: Final = 8
"""Shorter cookies are no sessions: they name a language or a client."""
MAX_NAMES: Final = 64
_SENT: Final = ("authorization", "proxy-authorization", "x-csrf-token")
_RECEIVED: Final = ("x-csrf-token",)
_NO_TOKENS: Final = frozenset({"fetch", "required"})


class SecretHeaders:
    """Hooks of one httpx client: `sent` for its `request` events, `received` for `response`."""

    def __init__(self) -> None:
        self._secrets: dict[str, SecretGenerations] = {}

    async def sent(self, request: httpx.Request) -> None:
        """Register the secrets of `request`."""
        headers = request.headers
        for name in _SENT:
            if name in headers:
                self._hide(name, headers[name])
        if "cookie" in headers:
            for pair in headers["cookie"].split(";"):
                self._hide_cookie(pair)

    async def received(self, response: httpx.Response) -> None:
        """Register the secrets of `response`."""
        headers = response.headers
        for name in _RECEIVED:
            if name in headers:
                self._hide(name, headers[name])
        if "set-cookie" in headers:
            for cookie in headers.get_list("set-cookie"):
                self._hide_cookie(cookie.partition(";")[0])

    def _hide(self, name: str, value: str) -> None:
        scheme, _, credentials = value.rpartition(" ")
        if credentials.lower() in _NO_TOKENS or not self._is_new(name, credentials):
            return
        if scheme.lower() in {"basic", "session"}:
            login = _decoded(credentials)
            self._is_new(f"{name} decoded", login)
            # Tryton's session is `user:id:session`.
            self._is_new(
                f"{name} secret", login.split(":", 1 if scheme.lower() == "basic" else 2)[-1]
            )

    def _hide_cookie(self, pair: str) -> None:
        name, _, value = pair.strip().partition("=")
        if len(value) >= MIN_COOKIE_CHARACTERS:
            self._is_new(f"cookie {name}", value)

    def _is_new(self, name: str, secret: str) -> bool:
        if name not in self._secrets and len(self._secrets) >= MAX_NAMES:
            name = ""  # a service that gives each of its cookies another name
        generations = self._secrets.get(name)
        if generations is None:
            generations = self._secrets[name] = SecretGenerations()
        return generations.add(secret)


def _decoded(credentials: str) -> str:
    try:
        return b64decode(credentials, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError):
        return ""
