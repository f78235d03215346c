"""A made-up Ticketdesk: tables of rows behind an HTTP API. Put your real system, or a copy, in its place."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MAX_TRANSACTION_US = 40_000


@dataclass
class StoredTable:
    """`rows` by the text of their key."""

    key: str
    columns: dict[str, str]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def comparable(self, column: str, value: Any) -> Any:
        """A value as it is compared: 12.5 equals 12.50."""
        exact = self.columns.get(column, "").startswith("decimal") and value is not None
        return Decimal(value) if exact else str(value)


class SampleSystem:
    """The tables, and the server that answers for them."""

    def __init__(self) -> None:
        self.tables: dict[str, StoredTable] = {}
        self._lock = threading.RLock()
        self._delays = random.Random(5)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def transaction(self) -> Iterator[dict[str, StoredTable]]:
        """Nobody sees half of it."""
        with self._lock:
            yield self.tables

    def put(self, table: StoredTable, values: dict[str, Any]) -> None:
        """Create or change a row. Its stamp is that of its transaction's begin, a little ago."""
        row_key = str(values[table.key])
        before = table.rows.get(row_key, {})
        begun = time.time_ns() // 1000 - self._delays.randrange(MAX_TRANSACTION_US)
        stamp = max(begun, before.get("modified", 0) + 1)
        stamps = {"created": before.get("created", stamp), "modified": stamp}
        table.rows[row_key] = dict.fromkeys(table.columns) | before | values | stamps

    def answer(self, path: str, query: dict[str, str], body: Any) -> Any:
        """The API; None: there is nothing of that name."""
        with self._lock:
            if path == "/tables":
                return {
                    name: {"key": table.key, "columns": table.columns}
                    for name, table in self.tables.items()
                }
            _, _, name, action = path.split("/")
            if name not in self.tables:
                return None
            return {
                "rows": json.loads(json.dumps(self._select(self.tables[name], action, query, body)))
            }

    def _select(
        self, table: StoredTable, action: str, query: dict[str, str], body: Any
    ) -> list[dict[str, Any]]:
        if action == "find":
            columns = body["columns"]
            wanted = {
                tuple(
                    table.comparable(column, value)
                    for column, value in zip(columns, key, strict=True)
                )
                for key in body["keys"]
            }
            return [
                row
                for row in table.rows.values()
                if not columns
                or tuple(table.comparable(column, row[column]) for column in columns) in wanted
            ]
        limit, after = int(query["limit"]), query.get("after", "")
        if action == "by-key":
            matching = sorted((key, row) for key, row in table.rows.items() if key > after)
            return [row for _, row in matching][:limit]
        since = int(query["changed_since"])
        changed = sorted(
            (row["modified"], key)
            for key, row in table.rows.items()
            if row["modified"] >= since and (row["modified"], key) > (since, after)
        )
        return [table.rows[key] for _, key in changed[:limit]]

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler_of(sample: SampleSystem) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(None)

        def do_POST(self) -> None:
            self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _reply(self, body: Any) -> None:
            address = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(address.query).items()}
            answer = sample.answer(address.path, query, body)
            data = json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing of each request."""

    return Handler
