"""An OData service whose every error repeats what it was sent, in the form that is asked for."""

from __future__ import annotations

import base64
import html
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote_plus

METADATA = b"""<?xml version="1.0"?>
<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="s" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EntityType Name="Order"><Key><PropertyRef Name="ID"/></Key>
<Property Name="ID" Type="Edm.String" Nullable="false"/><Property Name="note" Type="Edm.String"/>
<Property Name="changed" Type="Edm.DateTimeOffset"/></EntityType>
<EntityContainer Name="c"><EntitySet Name="Orders" EntityType="s.Order"/></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>"""

Form = Callable[[str], tuple[str, str]]
"""Content type and body that repeat a text."""


def _json(text: str) -> tuple[str, str]:
    return "application/json", json.dumps({"error": {"code": "X", "message": text}})


FORMS: dict[str, Form] = {
    "json": _json,
    "json in json": lambda text: _json(json.dumps({"request": text})),
    "xml": lambda text: (
        "application/xml",
        f"<error><code>X</code><message>{html.escape(text)}</message></error>",
    ),
    "html": lambda text: (
        "text/html",
        f"<html><head><title>Error: {html.escape(text)}</title></head></html>",
    ),
    "html, decimal": lambda text: (
        "text/html",
        f"<html><title>{''.join(f'&#{ord(c)};' for c in text)}</title></html>",
    ),
    "form": lambda text: _json(f"request={quote_plus(text)}"),
    "base64": lambda text: _json(base64.b64encode(text.encode()).decode()),
    "repr": lambda text: _json(repr(text)),
    "text": lambda text: ("text/plain", text),
}


class Echo:
    """`token` and `session` are what it hands out; `form` how it repeats; `padding` what it says first,
    so that the secret is where texts are cut.
    """

    def __init__(self, token: str, session: str) -> None:
        self.token = token
        self.session = session
        self.form: Form = _json
        self.status = 400
        self.status_of_lists = 503
        self.padding = 0
        self.requests: list[str] = []
        echo = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Set-Cookie", f"SESSION={echo.session}; Path=/")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                echo.requests.append(f"{self.command} {self.path}")
                if self.path.startswith("/token"):
                    tokens = {"access_token": echo.token, "expires_in": 3600}
                    self._answer(200, "application/json", json.dumps(tokens).encode())
                    return
                if "$metadata" in self.path:
                    self._answer(200, "application/xml", METADATA)
                    return
                if self.path.partition("?")[0] == "/odata/":
                    self._answer(200, "application/json", b'{"value": []}')
                    return
                sent = " ".join(
                    (
                        self.headers.get("Authorization", ""),
                        self.headers.get("Cookie", ""),
                        self.headers.get("X-CSRF-Token", ""),
                        self.path,
                        body,
                    )
                )
                kind, text = echo.form(f"{'x' * echo.padding} you sent {sent}")
                is_list = self.command == "GET" and "(" not in self.path
                status = echo.status_of_lists if is_list else echo.status
                self._answer(status, kind, text.encode())

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Echo]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
