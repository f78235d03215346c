"""One request and its answer: address, login, headers, and the CSRF token."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx

from bridge.connector import System, request_sent
from bridge.connector.current_login import Attempt
from bridge.model.errors import ConfigurationError, Rejected, RetryLater
from bridge.model.web_address import split_web_address
from connectors.http.bounded_body import MAX_BODY_BYTES
from connectors.http.client import http_client
from connectors.http.errors import AnswerTooLarge, UnreadableAnswer
from connectors.http.exchange_errors import lost_exchange
from connectors.odata.http.errors import (
    broken_response,
    is_web_page,
    needs_csrf_token,
    oversized_response,
    response_error,
    withhold_error_text,
)
from connectors.odata.http.limits import limits_of
from connectors.odata.http.login import login_method
from connectors.odata.protocol.request import WRITING_METHODS, ODataRequest, redacted_url
from connectors.odata.protocol.response import ODataResponse, parse_body

BEGIN_EXTENSION = "bridge.begin"
UNAUTHORIZED = 401
KEEPALIVE_S = 2.0
"""Seconds for which an idle connection is reused. Servers close theirs after 5 or more: a command that is
sent while its connection closes has an unknown outcome needlessly.
"""

MAX_RESPONSE_BYTES = MAX_BODY_BYTES
"""Maximum bytes of an answer. A service without pages would fill the memory."""


class ODataTransport:
    """Sends requests to one service. Any number of tasks may use it at once; connects when needed."""

    def __init__(
        self,
        system: System,
        clock: Callable[[], float] = time.time,
        *,
        largest: int = MAX_RESPONSE_BYTES,
    ) -> None:
        self._where = f"system {system.name!r}"
        self._root, self._query = service_root(system)
        self._clock = clock
        self._masked = system.masked
        self._tables = frozenset(use.table for use in system.tables)
        limits = limits_of(system.options)
        attempt = system.shared_login.current()
        self._system, self._login_number = system, attempt.number
        credentials = attempt.credentials
        way = login_method(replace(system, url=credentials.url, login=credentials.login), clock)
        self._http = http_client(
            auth=way.auth,
            tls=way.tls,
            timeout=httpx.Timeout(limits.timeout),
            limits=httpx.Limits(
                max_connections=max(1, system.connections), keepalive_expiry=KEEPALIVE_S
            ),
            max_body_bytes=largest,
            # A token that has to be requested first takes additional time.
            on_request=[_begun],
        )
        self._token = ""

    @property
    def query(self) -> str:
        """The query of every request, as in `url`."""
        return self._query

    @property
    def root_length(self) -> int:
        """Characters of every URL that are the same."""
        return len(self._root) + len(self._query) + 1

    async def close(self) -> None:
        """End all connections. May be called twice."""
        await self._http.aclose()

    async def ask(self, request: ODataRequest) -> ODataResponse:
        """The answer as it came, whatever its status; a write without the service's CSRF token is sent
        again with it. The path may be a link of the service. Raises RetryLater or OutcomeUnknown if no
        answer came; ConfigurationError.
        """
        headers = self._headers(request)
        if request.method not in WRITING_METHODS:
            return await self._once(request, headers)
        if self._token:
            headers["X-CSRF-Token"] = self._token
        answer = await self._once(request, headers)
        if needs_csrf_token(answer):
            headers["X-CSRF-Token"] = await self._fetch_token()
            answer = await self._once(request, headers)
            if needs_csrf_token(answer):
                raise ConfigurationError(
                    f"{self.describe(request)}: the service refuses the x-csrf-token that it has "
                    "just issued; its cookies have to be sent along, which a proxy may prevent"
                )
        return answer

    def check(self, request: ODataRequest, answer: ODataResponse) -> None:
        """Raise what is wrong with an answer (`connectors.odata.http.errors`)."""
        if self._is_masked(request):
            answer = withhold_error_text(answer)
        error = response_error(
            answer, self.describe(request), writes=request.writes, now=self._now()
        )
        if error is not None:
            raise error

    def _is_masked(self, request: ODataRequest) -> bool:
        """Whether the service's text may quote a masked column: of the requested set, or through a
        function, an action or a batch.
        """
        if not self._masked:
            return False
        path, _, query = request.path.partition("?")
        if "://" in path:
            path = "/" + path.partition("://")[2].partition("/")[2]
        path = path.removeprefix(urlsplit(self._root).path).lstrip("/")
        if path in {"", "$metadata"}:
            return False
        name = unquote(path.partition("(")[0])
        # Behind a slash are actions and other sets.
        others = "/" in path or "$expand" in query
        return others or name in self._masked or name not in self._tables

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def describe(self, request: ODataRequest) -> str:
        """The request for people: without the query, which may contain anything."""
        try:
            split = urlsplit(request.path)
        except ValueError:
            return f"{self._where}: {request.method} of a link that is no URL"
        path = split.path.rpartition("/")[2] if split.netloc else split.path
        return f"{self._where}: {request.method} {path if len(path) <= 100 else path[:100] + '...'}"

    async def _fetch_token(self) -> str:
        """The token for writes; its cookie stays with the HTTP client."""
        request = ODataRequest("GET", "", headers={"X-CSRF-Token": "Fetch"})
        answer = await self._once(request, self._headers(request))
        token = answer.headers.get("x-csrf-token", "")
        away = response_error(answer, self.describe(request), writes=False, now=self._now())
        if isinstance(away, RetryLater):
            raise away
        if token.lower() in {"", "required", "fetch"}:
            raise ConfigurationError(
                f"{self._where}: writes are refused without an x-csrf-token, and a read of the "
                f"service's root returns none ({answer.status})"
            )
        self._token = token
        return token

    async def _once(self, request: ODataRequest, headers: Mapping[str, str]) -> ODataResponse:
        """Send with the current secrets. A refused login had no effect, so a write is sent again with
        other secrets, too.
        """
        if self._http.auth is None:
            return await self._exchanged(request, headers)

        async def exchange(attempt: Attempt) -> ODataResponse:
            self._log_in_with(attempt)
            answer = await self._exchanged(request, headers)
            if answer.status == UNAUTHORIZED:
                self.check(request, answer)
            return answer

        # Many services show their metadata to everybody.
        proves_login = request.path not in {"", "$metadata"}
        return await self._system.shared_login.log_in(exchange, proves_login=proves_login)

    def _log_in_with(self, attempt: Attempt) -> None:
        if attempt.number == self._login_number:
            return
        credentials = attempt.credentials
        now = replace(self._system, url=credentials.url, login=credentials.login)
        auth = login_method(now, self._clock).auth
        if auth is not None:
            self._http.auth = auth
        self._root, self._query = service_root(now)
        self._token, self._login_number = "", attempt.number

    async def _exchanged(self, request: ODataRequest, headers: Mapping[str, str]) -> ODataResponse:
        request_sent()
        url, where = self._url(request.path), self.describe(request)
        try:
            async with self._http.stream(
                request.method,
                url,
                content=_content(request.body),
                headers=dict(headers),
                extensions={BEGIN_EXTENSION: request.begin},
            ) as response:
                content = await response.aread()
        except httpx.HTTPError as error:
            # The token request is an exchange of its own: the write was not sent yet.
            url_asked = error.request.url
            own = (url_asked.host, url_asked.path) == (httpx.URL(url).host, httpx.URL(url).path)
            if not own:
                where = f"{self._where}: the token's server {redacted_url(str(url_asked))}"
            raise lost_exchange(error, where, writes=request.writes and own) from error
        except AnswerTooLarge as error:
            raise oversized_response(where, error, writes=request.writes) from None
        except UnreadableAnswer:
            raise broken_response(where, writes=request.writes) from None
        except (httpx.InvalidURL, UnicodeEncodeError):
            # It was never sent. What is wrong with it may hold a secret.
            raise Rejected("bad_request", f"{where}: its URL or a header can't be sent") from None
        headers_by_name = {name.lower(): value for name, value in response.headers.items()}
        raw = ODataResponse(response.status_code, headers_by_name, content or None)
        if is_web_page(raw):
            return raw
        try:
            body = parse_body(headers_by_name.get("content-type", ""), content)
        except UnreadableAnswer as error:
            if not raw.good:
                return raw
            if isinstance(error, AnswerTooLarge):
                raise oversized_response(where, error, writes=request.writes) from None
            raise broken_response(where, writes=request.writes) from None
        return ODataResponse(raw.status, headers_by_name, body)

    def _headers(self, request: ODataRequest) -> dict[str, str]:
        content = {} if request.body is None else {"Content-Type": "application/json"}
        return {"Accept": "application/json", **content, **request.headers}

    def _url(self, path: str) -> str:
        """The whole URL of a path below the root, or of a link that the service gave.

        Links are followed only to the service itself, whatever host they name: a service after a proxy
        often knows only its own name, and any other host would get the login.
        """
        root = urlsplit(self._root)
        try:
            target = urlsplit(urljoin(self._root, path))
        except ValueError:
            raise Rejected(
                "bad_request", f"{self._where}: the service returned a link that is no URL"
            ) from None
        same = (target.scheme, target.netloc) == (root.scheme, root.netloc)
        if not same and not target.path.startswith(root.path):
            raise ConfigurationError(
                f"{self._where}: the service returned a link to {redacted_url(urlunsplit(target))}, which is "
                "outside of `url`; if it has moved, correct `url`"
            )
        query = target.query
        if self._query and self._query not in query:
            query = f"{query}&{self._query}" if query else self._query
        return urlunsplit((root.scheme, root.netloc, target.path, query, ""))


async def _begun(sent: httpx.Request) -> None:
    """The request is sent now; a token request has no such extension."""
    begin = sent.extensions.get(BEGIN_EXTENSION)
    if begin is not None:
        begin()


def _content(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body).encode()


def service_root(system: System) -> tuple[str, str]:
    """The service's root without login, which ends with a slash, and the query of every request
    (`?sap-client=100`).
    """
    try:
        split = split_web_address(system.url)
    except ValueError as error:
        raise ConfigurationError(
            f"system {system.name!r}: url {system.shown_url!r} should be the root of an OData "
            f"service, as in https://host/path/: {error}"
        ) from None
    netloc = split.netloc.rpartition("@")[2]
    path = split.path if split.path.endswith("/") else f"{split.path}/"
    return urlunsplit((split.scheme, netloc, path, "", "")), split.query
