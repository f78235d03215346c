"""A user's session: opened when first needed, and again when it has expired."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from bridge.connector import System
from bridge.connector.current_login import Attempt
from bridge.model.errors import BridgeError
from bridge.single_flight import SingleFlight
from connectors.tryton.http.address import address_of
from connectors.tryton.http.errors import NoSession, UserRefused
from connectors.tryton.http.transport import RpcTransport

UNAUTHORIZED: Final = 401
LOGOUT_TIMEOUT_S: Final = 0.5
"""The end of the bridge waits for a few of these, one after the other."""


class RpcSession:
    """The session of the system's user. May be used by several tasks at once.

    `context` is the user's own, such as the company; it is sent with each call.
    """

    def __init__(self, system: System, transport: RpcTransport) -> None:
        self.context: Mapping[str, Any] = {}
        self._system = system
        self._transport = transport
        self._where = f"system {system.name!r}"
        self._token = ""
        self._logins: SingleFlight[str, str] = SingleFlight()

    @property
    def is_open(self) -> bool:
        """Whether there is a session, which may have expired."""
        return bool(self._token)

    async def token(self, expired: str = "") -> str:
        """The token of a session that is not `expired`, logging in if there is none. Concurrent callers
        share one login: repeated refused logins may lock the user. Raises UserRefused, NoSession,
        RetryLater.
        """
        if self._token and self._token != expired:
            return self._token
        return await self._logins.result("", self._log_in)

    async def end(self) -> None:
        """Log out. Never raises for a lost connection, and takes no longer than LOGOUT_TIMEOUT_S. If the
        last call has no answer yet, nothing is sent: the ERP ends the session by itself later.
        """
        token, self._token = self._token, ""
        if not token or self._transport.is_silent or self._transport.is_closed:
            return
        with suppress(BridgeError, TimeoutError):
            async with asyncio.timeout(LOGOUT_TIMEOUT_S):
                await self._transport.send("common.db.logout", [], token, f"{self._where}, logout")

    async def _log_in(self) -> str:
        """With the secrets as they are now."""
        return await self._system.shared_login.log_in(self._begin)

    async def _begin(self, attempt: Attempt) -> str:
        credentials = attempt.credentials
        current = replace(self._system, url=credentials.url, login=credentials.login)
        address = address_of(current)
        self._transport.address = address
        transport, where = self._transport, f"{self._where}, login"
        params = [address.user, {"password": address.password}, "en"]
        response = await transport.send("common.db.login", params, "", where)
        if response.status_code == UNAUTHORIZED:
            raise UserRefused(
                f"{self._where}: Tryton refuses user {address.user!r} of database "
                f"{address.database!r}: the name or the password is wrong; check `login:` or `url`"
            )
        session = transport.result(response, where)
        if not isinstance(session, list) or len(session) < 2:
            raise NoSession(transport.not_tryton(where, "no session, and no refusal of one"))
        token = b64encode(f"{address.user}:{session[0]}:{session[1]}".encode()).decode()
        response = await transport.send("model.res.user.get_preferences", [True, {}], token, where)
        context = transport.result(response, where)
        if not isinstance(context, dict):
            raise NoSession(transport.not_tryton(where, "no preferences"))
        # What only people's clients need.
        context.pop("locale", None)
        self.context, self._token = context, token
        return token
