"""The metrics port: one thread, however many connect, and a bound on how long each of them may take.

In a thread of its own, so that figures can be had while the bridge's loop is busy.
Source: https://www.rfc-editor.org/rfc/rfc9112 (HTTP/1.1)
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from http import HTTPStatus
from typing import Final

from bridge.model.errors import ConfigurationError

CONNECTION_TIMEOUT_S: Final = 10.0
"""For a whole request and its answer, however slowly they come and go."""
MAX_CONNECTIONS: Final = 64
"""A further one takes the place of one that only sits there."""
MAX_REQUEST_BYTES: Final = 16_384
METHODS: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The head of a request; header names in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What is answered; without Content-Length, which the server adds."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


Route = Callable[[HttpRequest], Awaitable[HttpResponse]]
"""Answers what is asked of its path by GET or HEAD. Called in the server's own thread."""


@contextmanager
def serving(
    routes: Mapping[str, Route],
    host: str,
    port: int,
    *,
    timeout_s: float = CONNECTION_TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
) -> Iterator[int]:
    """Serve these paths at that address (port 0: any) until the end of the block; yields the port.
    Raises ConfigurationError for an address that can't be used.
    """
    try:
        listening = _listen(host, port)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigurationError(
            f"--metrics {host}:{port}: {getattr(error, 'strerror', None) or error}"
        ) from error
    server = _Server(routes, listening, timeout_s, max_connections)
    thread = threading.Thread(target=server.run, name="bridge-metrics", daemon=True)
    thread.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.stop()
        thread.join()


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(address, family=family)


class _Stage(IntEnum):
    """What a connection is at; the lower ones are given up first."""

    LINGERING = 0
    ASKING = 1
    ANSWERING = 2


class _Server:
    def __init__(
        self,
        routes: Mapping[str, Route],
        listening: socket.socket,
        timeout_s: float,
        max_connections: int,
    ) -> None:
        self._routes = routes
        self._listening = listening
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._connections: dict[asyncio.StreamWriter, _Stage] = {}
        """The oldest first."""
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()

    def run(self) -> None:
        """Serve until `stop`. In the thread of its own."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    def stop(self) -> None:
        """End; from another thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._connection, sock=self._listening, limit=MAX_REQUEST_BYTES
        )
        try:
            await self._stopping.wait()
        finally:
            server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections[writer] = _Stage.ASKING
        # So that `drain` returns once the system has all of the answer.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            self._make_room(writer)
            # Whoever is slow, breaks off or writes nonsense gets no answer.
            with suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                async with asyncio.timeout(self._timeout_s):
                    head = await reader.readuntil(b"\r\n\r\n")
                    self._connections[writer] = _Stage.ANSWERING
                    writer.write(await self._answer(_parse(head)))
                    await writer.drain()
                    self._connections[writer] = _Stage.LINGERING
                    writer.write_eof()
                    await reader.read(1)
        finally:
            self._connections.pop(writer, None)
            writer.transport.abort()

    def _make_room(self, newest: asyncio.StreamWriter) -> None:
        """Clients that sit there must not keep out a scrape or a probe, which asks as soon as it is
        here: those go first that have had their answer, then those that never ask.
        """
        if len(self._connections) > self._max_connections:
            others = (writer for writer in self._connections if writer is not newest)
            writer = min(others, key=self._connections.__getitem__, default=newest)
            del self._connections[writer]
            writer.transport.abort()

    async def _answer(self, request: HttpRequest) -> bytes:
        response = await self._response(request)
        head = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            f"Content-Type: {response.content_type}",
            f"Content-Length: {len(response.body)}",
            *(f"{name}: {value}" for name, value in response.headers),
            "Connection: close",
            "",
            "",
        ]
        body = b"" if request.method == "HEAD" else response.body
        return "\r\n".join(head).encode("latin-1") + body

    async def _response(self, request: HttpRequest) -> HttpResponse:
        route = self._routes.get(request.path)
        if route is None:
            paths = ", ".join(self._routes)
            return HttpResponse(HTTPStatus.NOT_FOUND, f"not found; there is {paths}\n".encode())
        if request.method not in METHODS:
            allowed = ", ".join(METHODS)
            return HttpResponse(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"use {allowed}\n".encode(),
                headers=(("Allow", allowed),),
            )
        try:
            return await route(request)
        except Exception:  # noqa: BLE001 - what a collector raises must not end the connection unanswered
            return HttpResponse(HTTPStatus.INTERNAL_SERVER_ERROR, b"the figures can't be read\n")


def _parse(head: bytes) -> HttpRequest:
    """A request's head. Raises ValueError for what is none."""
    line, *rest = head.decode("latin-1").split("\r\n")
    method, target, version = line.split(" ")
    if not version.startswith("HTTP/"):
        raise ValueError("not HTTP")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for header in rest:
        name, colon, value = header.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    return HttpRequest(method, path, query, headers)
