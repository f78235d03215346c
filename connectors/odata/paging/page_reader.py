"""What reads pages: the HTTP client, as pollers and trials of paging need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from connectors.odata.protocol.query import (
    QueryOptions,
)
from connectors.odata.protocol.response import EntityPage, ODataResponse


class PageReader(Protocol):
    """What a poller needs of the HTTP client."""

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> ODataResponse: ...

    async def page(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> EntityPage: ...

    def page_in(self, answer: ODataResponse) -> EntityPage | None: ...


class FetchPage(Protocol):
    """How one page is read: as `connectors.odata.paging.page_reader.PageReader.page`."""

    async def __call__(
        self,
        path: str,
        params: QueryOptions | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> EntityPage: ...
