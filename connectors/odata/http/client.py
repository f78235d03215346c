"""The client of a service: metadata, reads, writes, batches, pages."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bridge.connector import System
from bridge.model.errors import (
    ConfigurationError,
    HistoryLost,
    Rejected,
    RetryLater,
)
from bridge.single_flight import SingleFlight
from connectors.odata.http.bare_links import bare_page
from connectors.odata.http.batch_sender import VERSION_HEADERS, BatchSender
from connectors.odata.http.limits import batch_size, limits_of
from connectors.odata.http.top_limits import TopLimits
from connectors.odata.http.transport import ODataTransport
from connectors.odata.metadata.document import parse_metadata
from connectors.odata.metadata.model import ODataService, Version
from connectors.odata.protocol.request import ODataRequest, with_query
from connectors.odata.protocol.response import EntityPage, ODataResponse, page_of

_ACCEPT: Mapping[Version, str] = {
    # Without the parameter, decimals are JSON numbers, of which many servers lose digits.
    "v4": "application/json;odata.metadata=minimal;IEEE754Compatible=true",
    "v2": "application/json",
}
_CONTENT: Mapping[Version, str] = {
    "v4": "application/json;IEEE754Compatible=true",
    "v2": "application/json",
}


class ODataClient:
    """Any number of tasks may use it at once. Connects when needed. Raises ConfigurationError (the login,
    the address), RetryLater (unavailable, busy, an answer that broke off), Rejected (this one request),
    OutcomeUnknown (a write whose answer was lost). No message has a secret of the login.
    """

    def __init__(self, system: System, *, clock: Callable[[], float] = time.time) -> None:
        self._where = f"system {system.name!r}"
        self._limits = limits_of(system.options)
        self._batch_size = batch_size(self._limits, system.limits.batch_operations)
        self._transport = ODataTransport(system, clock)
        self._service: ODataService | None = None
        self._reading: SingleFlight[str, ODataService] = SingleFlight()
        self._batches = BatchSender(self._transport, self._where)
        #: How many rows may be asked for at once, by entity set.
        self.top_limits = TopLimits()

    @property
    def room(self) -> int:
        """Maximum characters of a path, so that the URL is not too long."""
        return max(100, self._limits.max_url_length - self._transport.root_length)

    def within(self, path: str, params: Mapping[str, str]) -> str:
        """`path` with `params`; without `$select` if the URL would be too long: then all properties come,
        and those not requested are ignored.
        """
        whole = with_query(path, params)
        if len(whole) <= self.room or "$select" not in params:
            return whole
        return with_query(path, {name: text for name, text in params.items() if name != "$select"})

    async def open(self) -> None:
        """Log in, by reading the metadata."""
        await self.metadata()

    async def reach(self) -> None:
        """Find out whether the service answers, by reading its root, which may be empty. Raises
        RetryLater, ConfigurationError.
        """
        request = await self._dressed(ODataRequest("GET", ""))
        answer = await self._transport.ask(request)
        if answer.status != 403:
            with suppress(Rejected):
                self._transport.check(request, answer)

    async def close(self) -> None:
        """End all connections. May be called twice."""
        await self._transport.close()

    async def metadata(self) -> ODataService:
        """The service's metadata, read once. Raises ConfigurationError if it is no OData service."""
        if self._service is None:
            self._service = await self._reading.result("$metadata", self._read_metadata)
        return self._service

    async def refresh_metadata(self) -> ODataService:
        """As `metadata`, read again: missing sets may exist by now."""
        self._service = await self._reading.result("$metadata", self._read_metadata)
        return self._service

    async def _read_metadata(self) -> ODataService:
        try:
            return self._parsed(await self._document())
        except Rejected as error:
            raise ConfigurationError(
                f"{error}; `url` should be the root of the service, as in https://host/path/"
            ) from error

    async def _document(self) -> ODataResponse:
        """As XML, which nearly every service has; as JSON from those that have nothing else."""
        request = ODataRequest("GET", "$metadata", headers={"Accept": "application/xml"})
        answer = await self._transport.ask(request)
        if answer.status in {406, 415}:
            request = replace(request, headers={"Accept": "application/json"})
            answer = await self._transport.ask(request)
        self._transport.check(request, answer)
        return answer

    def _parsed(self, answer: ODataResponse) -> ODataService:
        body = answer.body
        content = (
            json.dumps(body, default=str).encode() if isinstance(body, dict) else (body or b"")
        )
        try:
            return parse_metadata(content, answer.headers.get("content-type", ""))
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._where}: {error}") from None

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> ODataResponse:
        """The answer to a read. `path` is relative to the service's root and percent-encoded;
        `params` are not. If a `$top` is refused, it is lowered until the service accepts it: fewer rows
        come then. `absolute`: `path` is a link of the service; then 410 is HistoryLost.
        """
        if absolute:
            return await self._get(path, prefer, absolute=True)
        return await self.top_limits.ask(
            path, params or {}, lambda options: self._get(self.within(path, options), prefer)
        )

    async def _get(self, path: str, prefer: str, *, absolute: bool = False) -> ODataResponse:
        headers = {"Prefer": prefer} if prefer else {}
        request = await self._dressed(ODataRequest("GET", path, None, headers))
        answer = await self._transport.ask(request)
        if absolute and answer.status == 410:
            raise HistoryLost(
                f"{self._transport.describe(request)}: the service no longer knows what has "
                "changed since (410)"
            )
        self._transport.check(request, answer)
        return answer

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> ODataResponse:
        """The answer to a write, with a CSRF token if the service requires one."""
        return await self._ask(await self._dressed(ODataRequest(method, path, body, headers or {})))

    async def ask(self, request: ODataRequest) -> ODataResponse:
        """The answer as it came, whatever its status: `check` raises errors."""
        return await self._transport.ask(await self._dressed(request))

    async def batch(
        self, requests: Sequence[ODataRequest], *, changeset: bool = False
    ) -> list[ODataResponse]:
        """Aligned responses, whatever their status: `check` raises errors. `changeset`: all take effect
        or none, in one `$batch`; otherwise in as many as needed.

        Raises Unsupported if the service accepts no `$batch`; it had no effect then.
        """
        size = self._batch_size
        if changeset and len(requests) > size:
            raise Rejected(
                "too_many",
                f"{self._where}: {len(requests)} requests together; a $batch takes {size} "
                "(`max_batch_requests`, `limits.batch_operations`)",
            )
        version = (await self.metadata()).version
        responses: list[ODataResponse] = []
        for at in range(0, len(requests), size):
            chunk = [await self._dressed(request) for request in requests[at : at + size]]
            responses += await self._batches.send(chunk, version, changeset=changeset)
        return responses

    def check(self, request: ODataRequest, answer: ODataResponse) -> None:
        """Raise what is wrong with one answer of a batch."""
        self._transport.check(request, answer)

    async def page(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> EntityPage:
        """One page of a collection; as `get`."""
        answer = await self.get(path, params, prefer=prefer, absolute=absolute)
        page = self.page_in(answer)
        if page is None:
            where = self._transport.describe(ODataRequest("GET", path))
            raise ConfigurationError(
                f"{where}: the answer is no list of rows; is it an entity set?"
            )
        return page

    def page_in(self, answer: ODataResponse) -> EntityPage | None:
        """The page that an answer is, its links without what every request gets; None for no page."""
        page = page_of(answer.body)
        return page and bare_page(page, self._transport.query)

    async def pages(
        self, path: str, params: Mapping[str, str] | None = None, *, size: int = 0
    ) -> AsyncIterator[EntityPage]:
        """All pages of a collection, by the service's own links. `size`: how many rows of a page
        are asked for; the service may give fewer, or more.
        """
        prefer = f"odata.maxpagesize={size}" if size else ""
        page = await self.page(path, params, prefer=prefer)
        yield page
        async for later in self.further(page, path, prefer=prefer):
            yield later

    async def further(
        self, page: EntityPage, path: str, *, prefer: str = ""
    ) -> AsyncIterator[EntityPage]:
        """The pages after a page of `path`."""
        followed: set[str] = set()
        while page.next_link:
            if page.next_link in followed:
                where = self._transport.describe(ODataRequest("GET", path))
                raise RetryLater(f"{where}: the links of the pages form a circle")
            followed.add(page.next_link)
            page = await self.page(page.next_link, prefer=prefer, absolute=True)
            yield page

    async def _ask(self, request: ODataRequest) -> ODataResponse:
        answer = await self._transport.ask(request)
        self._transport.check(request, answer)
        return answer

    async def _dressed(self, request: ODataRequest) -> ODataRequest:
        """With the headers that the service's version requires."""
        version = (await self.metadata()).version
        headers = {"Accept": _ACCEPT[version], **VERSION_HEADERS[version]}
        if request.body is not None:
            headers["Content-Type"] = _CONTENT[version]
        return replace(request, headers={**headers, **request.headers})
