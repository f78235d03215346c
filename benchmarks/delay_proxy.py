"""A TCP proxy that makes every round trip longer, as a network does.

Threads and blocking sockets: an event loop's timers have milliseconds.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 1 << 20
POLL_S: Final = 0.1


class DelayProxy:
    """Between clients and one server. `port`: where clients connect; `delay_s`: added to what they
    send. Answers pass at once, so that a large one isn't delayed by pieces.
    """

    def __init__(self, host: str, port: int, delay_s: float) -> None:
        self._target = host, port
        self._delay_s = delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(POLL_S)
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        for thread in list(self._threads):
            thread.join()
        self._listener.close()

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            server = socket.create_connection(self._target)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(POLL_S)
            self._start(self._pump, client, server, self._delay_s)
            self._start(self._pump, server, client, 0.0)

    def _pump(self, source: socket.socket, sink: socket.socket, delay_s: float) -> None:
        # One side may be gone, and so is the other then.
        with closing(source), closing(sink), suppress(OSError):
            while not self._ended.is_set():
                try:
                    data = source.recv(CHUNK_BYTES)
                except TimeoutError:
                    continue
                if not data:
                    break
                if delay_s:
                    time.sleep(delay_s)
                sink.settimeout(None)
                sink.sendall(data)
                sink.settimeout(POLL_S)
