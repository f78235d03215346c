"""An HTTP proxy between the bridge and a service, which may answer wrongly, late, or not at all."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import httpx

from bridge.tls import tls_context


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class CannedResponse:
    """An answer of the proxy's own; `length`: the Content-Length that it claims."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


CUT = "cut"
"""The request reaches the service; the connection ends without an answer."""
HANG = "hang"
"""The request reaches the service; the answer never comes, and the connection stays."""
DROP = "drop"
"""The request never reaches the service; the connection ends."""

Rule = Callable[[ForwardedRequest], CannedResponse | str | None]


def nothing(_: ForwardedRequest) -> None:
    """Everything is forwarded."""


class HttpProxy:
    """Forwards to `target` (`http://host:port`) what `rule` says nothing about."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.rule: Rule = nothing
        self.requests: list[ForwardedRequest] = []
        self.address = ""
        self._serving: set[asyncio.Task[None]] = set()
        self._under_way = 0

    def url(self, of: str) -> str:
        """A URL of the target, through here; its login stays."""
        rest = of.partition("://")[2]
        login = rest.rpartition("@")[0]
        path = "/" + rest.rpartition("@")[2].partition("/")[2]
        scheme, _, rest = self.address.partition("://")
        return f"{scheme}://{login + '@' if login else ''}{rest}{path}"

    @property
    def quiet(self) -> bool:
        """The service has answered whatever reached it, whoever still listens."""
        return self._under_way == 0

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpProxy]:
        verify = tls_context(None)  # shared: to load the authorities anew takes 30 ms
        async with httpx.AsyncClient(verify=verify, trust_env=False, timeout=60) as self._http:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
            scheme = "http" if tls is None else "https"
            self.address = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            try:
                yield self
            finally:
                server.close()
                for task in list(self._serving):
                    task.cancel()
                await asyncio.gather(*self._serving, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            # A cancelled one would be an error in Python 3.11's own callback of the connection.
            with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while await self._serve_request(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _serve_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.strip().split("\r\n")
        method, path, _ = line.split(" ")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = ForwardedRequest(method, path, headers, body)
        self.requests.append(request)
        reaction = self.rule(request)
        if reaction == DROP:
            return False
        answer = reaction if isinstance(reaction, CannedResponse) else await self._forward(request)
        if reaction == CUT:
            return False
        if reaction == HANG:
            await asyncio.Event().wait()
        length = len(answer.body) if answer.length is None else answer.length
        headers_sent = {**answer.headers, "Content-Length": str(length)}
        writer.write(f"HTTP/1.1 {answer.status} x\r\n".encode())
        writer.write(
            "".join(f"{name}: {value}\r\n" for name, value in headers_sent.items()).encode()
        )
        writer.write(b"\r\n" + answer.body)
        await writer.drain()
        return answer.length is None

    async def _forward(self, request: ForwardedRequest) -> CannedResponse:
        kept = {n: v for n, v in request.headers.items() if n not in {"host", "accept-encoding"}}
        self._under_way += 1
        try:
            response = await self._http.request(
                request.method, f"{self._target}{request.path}", content=request.body, headers=kept
            )
        finally:
            self._under_way -= 1
        self._http.cookies.clear()  # cookies are the client's affair
        dropped = {"content-length", "transfer-encoding", "connection", "content-encoding"}
        headers = {name: value for name, value in response.headers.items() if name not in dropped}
        return CannedResponse(response.status_code, response.content, headers)


@contextmanager
def standing(between: HttpProxy, tls: ssl.SSLContext | None = None) -> Iterator[HttpProxy]:
    """The same beside a test that waits for other processes: in a thread of its own."""
    up, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with between.serving(tls):
            up.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert up.wait(timeout=30), "the proxy does not start"
        yield between
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def alone(rule: Rule) -> HttpProxy:
    """A service of nothing but what `rule` says."""
    server = HttpProxy("http://127.0.0.1:1")
    server.rule = rule
    return server
