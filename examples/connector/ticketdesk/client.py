"""Ticketdesk's HTTP API. The only file that knows how the system is asked and how it answers.

It turns whatever goes wrong into one of the errors that say what to do: `RetryLater` (ask again),
`ConfigurationError` (a person has to correct something), `Rejected` (this question has no answer).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from bridge.connector import System
from bridge.model.errors import ConfigurationError, Rejected, RetryLater

CREATED, MODIFIED = "created", "modified"
"""Columns of every table: when its row was first and last written, in microseconds since 1970."""
REQUEST_TIMEOUT_S = 30.0
ROWS_PER_PAGE = 500


@dataclass(frozen=True)
class Table:
    """A table as the system describes it: its key column, and its columns with their field types."""

    name: str
    key: str
    columns: Mapping[str, str]


class Client:
    """Asks one Ticketdesk. Requests of several tasks may overlap."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._http = httpx.AsyncClient(base_url=system.url, timeout=REQUEST_TIMEOUT_S)

    async def table(self, name: str) -> Table:
        """Raises ConfigurationError where the system has no such table."""
        tables = await self._request("GET", "/tables")
        if name not in tables:
            raise ConfigurationError(
                f"system {self._system.name!r}: {self._system.shown_url} has no table {name!r}; it has "
                f"{', '.join(sorted(tables)) or 'none'}"
            )
        return Table(name, tables[name]["key"], tables[name]["columns"])

    async def changed_rows(self, table: str, since: int) -> AsyncIterator[dict[str, Any]]:
        """Rows written at `since` (microseconds) or later, in the order of their times."""
        after = ""
        while True:
            parameters = {"changed_since": since, "after": after, "limit": ROWS_PER_PAGE}
            rows = await self._rows("GET", f"/tables/{table}/rows", params=parameters)
            for row in rows:
                yield row
            if len(rows) < ROWS_PER_PAGE:
                return
            key = (await self.table(table)).key
            since, after = rows[-1][MODIFIED], str(rows[-1][key])

    async def rows_by_key(self, table: str, after: str | None, limit: int) -> list[dict[str, Any]]:
        """Up to `limit` rows whose key is greater than `after`, in key order."""
        parameters = {"limit": limit} | ({} if after is None else {"after": after})
        return await self._rows("GET", f"/tables/{table}/by-key", params=parameters)

    async def matching_rows(
        self, table: str, columns: Sequence[str], keys: Sequence[Sequence[Any]]
    ) -> list[dict[str, Any]]:
        """All rows whose `columns` equal one of `keys`, in one request."""
        question = {
            "columns": list(columns),
            "keys": [[str(value) for value in key] for key in keys],
        }
        return await self._rows("POST", f"/tables/{table}/find", json=question)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _rows(self, method: str, path: str, **request: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self._request(method, path, **request))["rows"]
        return rows

    async def _request(self, method: str, path: str, **request: Any) -> Any:
        where = f"system {self._system.name!r}: {method} {path}"
        try:
            response = await self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise RetryLater(f"{where}: {type(error).__name__}: {error}") from error
        if response.status_code in {401, 403}:
            raise ConfigurationError(f"{where}: {response.status_code}: correct `login:`")
        if response.status_code == 404:
            raise Rejected("bad_key", f"{where}: {response.text[:200]}")
        if response.status_code != 200:
            raise RetryLater(f"{where}: status {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
            raise RetryLater(f"{where}: the answer is not JSON") from error
