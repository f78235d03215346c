"""The metrics port: one thread, however many connect, and a bound on how long each of them may take.

In a thread of its own, so that figures can be had while the bridge's loop is busy.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from bridge.model.errors import ConfigurationError

CONNECTION_TIMEOUT_S: Final = 10.0
"""For a whole request and its answer, however slowly they come and go."""
MAX_CONNECTIONS: Final = 64
"""Further ones are closed at once."""
MAX_REQUEST_BYTES: Final = 16_384

App = Callable[[Mapping[str, Any], Callable[..., Any]], Iterable[bytes]]
"""A WSGI application that reads no body."""


@contextmanager
def serving(
    app: App,
    host: str,
    port: int,
    *,
    timeout_s: float = CONNECTION_TIMEOUT_S,
    max_connections: int = MAX_CONNECTIONS,
) -> Iterator[int]:
    """Serve at that address (port 0: any) until the end of the block; yields the port. Raises
    ConfigurationError for an address that can't be used.
    """
    try:
        listening = _listen(host, port)
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigurationError(
            f"--metrics {host}:{port}: {getattr(error, 'strerror', None) or error}"
        ) from error
    server = _Server(app, listening, timeout_s, max_connections)
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


class _Server:
    def __init__(
        self, app: App, listening: socket.socket, timeout_s: float, max_connections: int
    ) -> None:
        self._app = app
        self._listening = listening
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._open = 0
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
        self._open += 1
        try:
            if self._open <= self._max_connections:
                # Whoever is slow, breaks off or writes nonsense gets no answer.
                with suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                    async with asyncio.timeout(self._timeout_s):
                        request = await reader.readuntil(b"\r\n\r\n")
                        writer.write(_answer(self._app, request))
                        await writer.drain()
                        writer.write_eof()
                        await reader.read(1)
        finally:
            self._open -= 1
            writer.transport.abort()


def _answer(app: App, request: bytes) -> bytes:
    """The whole answer to a request's head. Raises ValueError for what is none."""
    line, *rest = request.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    path, _, query = target.partition("?")
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
    for header in rest:
        name, colon, value = header.partition(":")
        if colon and name.lower() in {"accept", "accept-encoding"}:
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value.strip()
    head: list[str] = []

    def start_response(status: str, headers: Iterable[tuple[str, str]]) -> None:
        head.append(f"HTTP/1.1 {status}")
        head.extend(f"{name}: {value}" for name, value in headers)

    content = b"".join(app(environ, start_response))
    head += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
    return "\r\n".join(head).encode("latin-1") + content
