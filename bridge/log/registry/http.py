"""A schema registry over HTTP: Confluent's API, as Apicurio and others serve it, too.

Source: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx

from bridge.connector.current_login import Attempt, Credentials, CurrentLogin
from bridge.log.registry.response import (
    NoAnswer,
    RegistryAnswer,
    read_answer,
    registered_of,
    schema_id_of,
    schema_text_of,
    version_numbers_of,
)
from bridge.log.registry_port import RegisteredSchema
from bridge.model import schema_compatibility
from bridge.model.errors import BridgeError, ConfigurationError, LoginRefused, Rejected, RetryLater
from bridge.model.redaction import register_login, register_secret
from bridge.model.secret_urls import secrets_in_url
from bridge.retry import RetryPolicy, retry
from bridge.single_flight import SingleFlight
from bridge.tls import TlsFiles, UnusableTlsFiles, tls_context, tls_refusal

T = TypeVar("T")

_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: `error_code` of the API for a subject, version or schema that isn't there. Any other 404 is a
#: proxy's, or that of a registry which isn't up yet.
_ABSENT: Final = range(40401, 40500)
_MAX_ABSENT_IDS: Final = 10_000


class HttpRegistry:
    """`bridge.log.registry_port.Registry` over HTTP. Safe for any number of tasks.

    `read_password`: reads the password again after a refusal.
    `tls`: its files (None: the default authorities, no client certificate).
    `timeout`: seconds for one response.
    `patience`: seconds in which it retries while the registry is busy or unavailable, or doesn't
    have a requested schema, which may not have reached this node yet.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str = "",
        password: str = "",
        tls: TlsFiles | None = None,
        read_password: Callable[[], str] | None = None,
        timeout: float = 10.0,
        patience: float = 5.0,
    ) -> None:
        self._url = url.rstrip("/")
        self._username = username

        def read() -> Credentials:
            return Credentials(url, read_password() if read_password else password)

        self._logins = CurrentLogin(Credentials(url, password), read)
        register_login(username, password, "registry")
        for number, secret in enumerate(secrets_in_url(url)):
            register_secret(secret, f"registry url {number}")
        self._tls = tls
        self._timeout = timeout
        self._patience = patience
        self._client: httpx.AsyncClient | None = None
        self._texts: dict[int, str] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._absent: set[int] = set()
        self._answered = False
        self._registering = asyncio.Lock()
        self._schema_flights: SingleFlight[int, str] = SingleFlight()
        self._register_flights: SingleFlight[tuple[str, str], int] = SingleFlight()

    @property
    def name(self) -> str:
        """For people, without secrets."""
        try:
            return str(httpx.URL(self._url).copy_with(userinfo=b""))
        except httpx.InvalidURL:
            # An unparsable address may contain a password anywhere.
            return "(its url is none)"

    async def open(self) -> None:
        """Connect and log in. Raises RetryLater or ConfigurationError, depending on the
        response.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._verify(),
                timeout=self._timeout,
                headers={"Accept": f"{_TYPE}, application/json"},
            )
        try:
            await self._ask("GET", "/config")
        except BaseException:
            await self.close()
            raise
        self._answered = True

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def register(self, subject: str, text: str) -> int:
        """The id of `text` under `subject`; our own check comes before the registry's."""
        schema_id = self._ids.get((subject, text))
        if schema_id is not None:
            return schema_id
        return await self._register_flights.result(
            (subject, text), lambda: self._register(subject, text)
        )

    async def _register(self, subject: str, text: str) -> int:
        async with self._registering:
            earlier = [version.text for version in await self.versions(subject)]
            wanted = schema_compatibility.valid(subject, text)
            if all(schema_compatibility.fingerprint(old) != wanted for old in earlier):
                schema_compatibility.check(subject, text, earlier)
            path = f"/subjects/{quote(subject, safe='')}/versions"
            wanted_schema = {"schema": text, "schemaType": "AVRO"}
            body = await self._ask("POST", path, wanted_schema)
            schema_id = self._read(schema_id_of, body, path)
        self._ids[subject, text] = schema_id
        self._texts.setdefault(schema_id, text)
        return schema_id

    async def schema(self, schema_id: int) -> str:
        """The text of a schema. Raises KeyError for an unknown id, after waiting for it."""
        text = self._texts.get(schema_id)
        if text is not None:
            return text
        return await self._schema_flights.result(schema_id, lambda: self._read_schema(schema_id))

    async def _read_schema(self, schema_id: int) -> str:
        text = self._texts[schema_id] = await self.stored(schema_id)
        return text

    async def stored(self, schema_id: int) -> str:
        """The current text of a schema in the registry. Raises KeyError if it has none, after
        waiting for it.
        """
        waits = schema_id not in self._absent
        try:
            policy = RetryPolicy(
                give_up_after_s=self._patience if waits else 0.0,
                may_pass=lambda error: isinstance(error, KeyError),
            )
            text = await retry(lambda: self._ask_schema(schema_id), policy)
        except KeyError:
            self._note_absent(schema_id)
            raise
        self._absent.discard(schema_id)
        return text

    async def _ask_schema(self, schema_id: int) -> str:
        try:
            text = await self._find(f"/schemas/ids/{schema_id}", schema_text_of)
        except (ConfigurationError, Rejected) as error:
            # An expired login, a certificate, a proxy: not the fault of the record that names the
            # schema.
            raise RetryLater(str(error)) from error
        if text is None:
            raise KeyError(schema_id)
        return text

    def forget(self, schema_id: int) -> None:
        """Fetch this schema again at its next use."""
        self._texts.pop(schema_id, None)

    async def latest(self, subject: str) -> RegisteredSchema | None:
        """The newest version under `subject`."""
        path = f"/subjects/{quote(subject, safe='')}/versions/latest"
        return await self._find(path, registered_of)

    async def versions(self, subject: str) -> list[RegisteredSchema]:
        """Every version under `subject`, oldest first."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        registered = []
        for number in await self._find(path, version_numbers_of) or ():
            version = await self._find(f"{path}/{number}", registered_of)
            if version is not None:
                registered.append(version)
        return registered

    async def set_compatibility(self, subject: str, level: str) -> None:
        """`BACKWARD_TRANSITIVE` and the like, for one subject."""
        path = f"/config/{quote(subject, safe='')}"
        await self._ask("PUT", path, {"compatibility": level})

    async def _find(self, path: str, read: Callable[[Any], T]) -> T | None:
        """The result of `read` on the response; None if the registry doesn't have it."""
        body = await self._ask("GET", path, missing=True)
        return None if body is None else self._read(read, body, path)

    def _read(self, read: Callable[[Any], T], body: Any, path: str) -> T:
        try:
            return read(body)
        except NoAnswer as error:
            raise self._foreign(f"registry {self.name}, {path}: {error}") from error

    async def _ask(self, method: str, path: str, body: Any = None, *, missing: bool = False) -> Any:
        """The response's JSON; None for a 404 if `missing` is allowed. Retries while busy."""
        return await retry(
            lambda: self._once(method, path, body, missing=missing),
            RetryPolicy(give_up_after_s=self._patience),
        )

    async def _once(self, method: str, path: str, body: Any, *, missing: bool) -> Any:
        """Send one request with the current password."""

        async def exchange(attempt: Attempt) -> Any:
            password = attempt.credentials.login
            return await self._exchanged(method, path, body, password, missing=missing)

        return await self._logins.log_in(exchange)

    async def _exchanged(
        self, method: str, path: str, body: Any, password: str, *, missing: bool
    ) -> Any:
        if self._client is None:
            raise RetryLater(f"the registry {self.name} is not open")
        auth = httpx.BasicAuth(self._username, password) if self._username else None
        request_text = f"{method} {path}"
        try:
            async with self._client.stream(
                method, self._url + path, json=body, auth=auth
            ) as response:
                answer = await read_answer(response)
            return self._checked(answer, request_text, missing=missing)
        except NoAnswer as error:
            raise self._foreign(f"registry {self.name}, {request_text}: {error}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise ConfigurationError(
                "registry.url is not the address of a registry: write http://HOST:PORT/PATH "
                "(Apicurio: "
                "/apis/ccompat/v7), and the login as registry.username and registry.password"
            ) from None
        except httpx.HTTPError as error:
            if refusal := tls_refusal(error):
                raise ConfigurationError(f"registry {self.name}: {refusal}") from error
            raise RetryLater(
                f"registry {self.name} is away: {str(error) or type(error).__name__}"
            ) from error

    def _checked(self, answer: RegistryAnswer, request_text: str, *, missing: bool) -> Any:
        """The response's content; raises the error that it represents."""
        status = answer.status
        where = f"registry {self.name}, {request_text}"
        if status == httpx.codes.NOT_FOUND and missing and answer.error_code in _ABSENT:
            return None
        if status in _BUSY:
            raise RetryLater(f"{where}: {status} {answer.reason}")
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            refused = LoginRefused if status == httpx.codes.UNAUTHORIZED else ConfigurationError
            raise refused(
                f"{where}: {status}: check registry.username and registry.password, and the "
                "permissions of that user"
            )
        if status == httpx.codes.CONFLICT:
            raise Rejected("incompatible_schema", f"{where}: {answer.reason}")
        if status == httpx.codes.UNPROCESSABLE_ENTITY:
            raise Rejected("invalid_schema", f"{where}: {answer.reason}")
        if not httpx.codes.is_success(status):
            raise self._foreign(
                f"{where}: {status} {answer.reason}: is this the address of a registry with "
                "Confluent's API (Apicurio: http://host:8080/apis/ccompat/v7)?"
            )
        return answer.body

    def _foreign(self, message: str) -> BridgeError:
        """The error for a response that isn't a registry's: at the start the address is wrong,
        later something in between answers instead of the registry.
        """
        if self._answered:
            return RetryLater(f"{message} (it has answered before: perhaps a proxy does now)")
        return ConfigurationError(message)

    def _note_absent(self, schema_id: int) -> None:
        """Remember that it was waited for: the next record that names it needn't wait as long."""
        if len(self._absent) >= _MAX_ABSENT_IDS:
            self._absent.clear()
        self._absent.add(schema_id)

    def _verify(self) -> ssl.SSLContext:
        try:
            return tls_context(self._tls)
        except UnusableTlsFiles as error:
            raise ConfigurationError(f"registry {self.name}: {error}") from None
