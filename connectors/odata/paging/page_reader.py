"""What reads pages: the HTTP client, as pollers and trials of paging need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from connectors.odata.protocol.query import (
    Query,
)
from connectors.odata.protocol.response import Answer, Page


class Asks(Protocol):
    """What a poller needs of the HTTP client."""

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> Answer: ...

    async def page(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> Page: ...

    def page_in(self, answer: Answer) -> Page | None: ...


class FetchPage(Protocol):
    """How one page is read: as `connectors.odata.paging.page_reader.Asks.page`."""

    async def __call__(
        self,
        path: str,
        params: Query | None = None,
        *,
        prefer: str = "",
        absolute: bool = False,
    ) -> Page: ...
