"""How to log in: basic, OAuth2 client credentials, an API key's header."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from bridge.connector import System, TransportRisk
from bridge.model.errors import ConfigurationError, LoginRefused, RetryLater
from bridge.model.redaction import SecretGenerations, register_login, register_secret
from bridge.model.web_address import split_web_address
from connectors.http.dates import retry_after_seconds
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json
from connectors.http.plain_login import plain_login
from connectors.http.tls import http_tls
from connectors.odata.http.error_text import service_error_text
from connectors.odata.protocol.request import redacted_url

TOKEN_EXPIRY_MARGIN_S = 30.0
"""Seconds before its expiry in which a token is no longer used."""

MAX_TOKEN_AGE_S = 86_400.0
"""Maximum seconds until a token is requested again."""

DEFAULT_TOKEN_LIFETIME_S = 300.0
"""Seconds for which a token is used if its server doesn't state its lifetime."""


_TOKEN_FIELDS = ("access_token", "refresh_token", "id_token")
"""Values that the token server issues: none of them may be shown."""


def _web_address(value: str) -> str:
    split_web_address(value)
    return value


class OAuth2(BaseModel):
    """Client credentials (RFC 6749, section 4.4)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token_url: Annotated[str, AfterValidator(_web_address)] = Field(
        repr=False, description="Address that issues tokens: https://..."
    )
    client_id: str = Field(description="The client's id.")
    client_secret: SecretStr = Field(description="Its secret, by reference.")
    scope: str = Field(default="", description="Scopes, separated by spaces, if required.")
    parameters: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        description="Further fields of the form, such as `resource`.",
    )
    send: Literal["header", "form"] = Field(
        default="header", description="Whether id and secret are sent in a header or in the form."
    )


class ApiKeyLogin(BaseModel):
    """A key in a header of every request."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    header: str = Field(default="X-API-Key", pattern=r"^[A-Za-z0-9-]+$", description="Its name.")
    value: SecretStr = Field(description="The key, by reference.")


class ODataLogin(BaseModel):
    """The `login:` mapping. A basic login may be in `url` instead; certificates are in `tls:`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    user: str | None = Field(default=None, description="User of a basic login.")
    password: SecretStr | None = Field(default=None, description="Its password, by reference.")
    oauth2: OAuth2 | None = Field(default=None, description="OAuth2 client credentials.")
    api_key: ApiKeyLogin | None = Field(default=None, description="A key in a header.")

    @model_validator(mode="after")
    def _one_way(self) -> ODataLogin:
        ways = [name for name in ("user", "oauth2", "api_key") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are two ways to log in: use one")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        return self


@dataclass(frozen=True, slots=True)
class LoginMethod:
    """What the client needs to log in: what signs requests, and the TLS settings."""

    auth: httpx.Auth | None = field(repr=False)
    tls: ssl.SSLContext


def login_method(system: System, clock: Callable[[], float]) -> LoginMethod:
    """The login of a system; `clock` in seconds. Raises ConfigurationError."""
    where = f"system {system.name!r}"
    login = system.login if isinstance(system.login, ODataLogin) else ODataLogin()
    split = urlsplit(system.url)
    user, password = unquote(split.username or ""), unquote(split.password or "")
    if user and (login.user is not None or login.oauth2 or login.api_key):
        raise ConfigurationError(
            f"{where}: a user in `url` and `login:` are two ways: use one; take the user out of `url`"
        )
    if login.user is not None and login.password is not None:
        user, password = login.user, login.password.get_secret_value()
    tls = http_tls(system)
    if login.oauth2 is not None:
        secret = login.oauth2.client_secret.get_secret_value()
        register_login(login.oauth2.client_id, secret, f"{where} oauth2")
        return LoginMethod(OAuth2Auth(login.oauth2, where, clock), tls)
    if login.api_key is not None:
        key = login.api_key.value.get_secret_value()
        register_secret(key, f"{where} api_key")
        return LoginMethod(ApiKeyAuth(login.api_key.header, key), tls)
    if user:
        register_login(user, password, where)
        return LoginMethod(httpx.BasicAuth(user, password), tls)
    return LoginMethod(None, tls)


def transport_risks(system: System) -> Iterator[TransportRisk]:
    """Warnings about logins, and keys in the query of `url`, that are sent to another machine in clear
    text.
    """
    login = system.login if isinstance(system.login, ODataLogin) else None
    # What is hidden of `url` is a secret in it.
    if login is not None or "@" in urlsplit(system.url).netloc or "***" in system.shown_url:
        yield from plain_login(system.url, ("url",))
    if login is not None and login.oauth2 is not None:
        yield from plain_login(login.oauth2.token_url, ("login", "oauth2", "token_url"))


class ApiKeyAuth(httpx.Auth):
    """A key in a header."""

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The request with its key."""
        request.headers[self._name] = self._value
        yield request


class OAuth2Auth(httpx.Auth):
    """Bearer tokens: requested once, again shortly before they expire, and when one is refused. Raises
    ConfigurationError if the token server refuses the client, RetryLater while it is unavailable.
    """

    def __init__(self, login: OAuth2, where: str, clock: Callable[[], float]) -> None:
        self._login = login
        self._where = f"{where}: the token's server {redacted_url(login.token_url)}"
        self._clock = clock
        self._token = ""
        self._handed_out = {name: SecretGenerations() for name in _TOKEN_FIELDS}
        self._until = 0.0
        self._asking = asyncio.Lock()
        self._failures = 0
        """Requests that returned no token, and the reason of the last one, if known."""
        self._failure: RetryLater | ConfigurationError | None = None

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """The request with a token; once more with a new one if that is refused."""
        for last in (False, True):
            failures = self._failures
            async with self._asking:
                if not self._token or self._clock() >= self._until:
                    if self._failures > failures:
                        # The token request that this request waited for was its own, too.
                        raise self._failure or RetryLater(f"{self._where} is unavailable")
                    has_token, self._failure = False, None
                    try:
                        answer = yield self._question()
                        await self._read(answer)
                        self._keep(answer)
                        has_token = True
                    except (RetryLater, ConfigurationError) as error:
                        self._failure = error
                        raise
                    finally:
                        # Also if httpx closes this generator, because there was no answer.
                        self._failures += not has_token
                token = self._token
            request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code != 401 or last:
                return
            if self._token == token:  # else somebody has got a new one meanwhile
                self._until = 0.0

    def _question(self) -> httpx.Request:
        login = self._login
        secret = login.client_secret.get_secret_value()
        form = {"grant_type": "client_credentials", **login.parameters}
        if login.scope:
            form["scope"] = login.scope
        if login.send == "form":
            form |= {"client_id": login.client_id, "client_secret": secret}
        request = httpx.Request(
            "POST", login.token_url, data=form, headers={"Accept": "application/json"}
        )
        if login.send == "header":
            return next(httpx.BasicAuth(login.client_id, secret).auth_flow(request))
        return request

    async def _read(self, answer: httpx.Response) -> None:
        """Its body. An unreadable answer says nothing about the request that needs the token."""
        try:
            await answer.aread()
        except UnreadableAnswer as error:
            raise RetryLater(f"{self._where} returned an unreadable answer: {error}") from error

    def _keep(self, answer: httpx.Response) -> None:
        body: Any = None
        if "json" in answer.headers.get("content-type", ""):
            with suppress(UnreadableAnswer):
                body = parse_json(answer.content)
        token = body.get("access_token") if isinstance(body, dict) else None
        if isinstance(body, dict):
            for name, generations in self._handed_out.items():
                if isinstance(handed_out := body.get(name), str):
                    generations.add(handed_out)
        if answer.status_code >= 500 or answer.status_code in {408, 429}:
            after = retry_after_seconds(answer.headers, datetime.fromtimestamp(self._clock(), UTC))
            raise RetryLater(f"{self._where} is unavailable ({answer.status_code})", after=after)
        if not answer.is_success or not isinstance(token, str) or not token:
            error_text = service_error_text(body)
            raise LoginRefused(
                f"{self._where} issued no token ({answer.status_code}"
                f"{': ' + error_text if error_text else ''}); check `login.oauth2`"
            )
        seconds = _seconds(body.get("expires_in"))
        self._token = token
        # Of a token that is valid for a few seconds only, half of them are used.
        self._until = self._clock() + max(seconds - TOKEN_EXPIRY_MARGIN_S, seconds / 2)


def _seconds(expires_in: Any) -> float:
    """The lifetime of a token; `UNTOLD` if it is no number."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return DEFAULT_TOKEN_LIFETIME_S
    return min(seconds, MAX_TOKEN_AGE_S) if seconds > 0 else DEFAULT_TOKEN_LIFETIME_S
