"""A door before a server: closed, nobody reaches the server, which knows nothing of it."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Gate:
    """Forwards a port of 127.0.0.1 to a server's while it is open."""

    def __init__(self, host: str, port: int) -> None:
        self._server_address = (host, port)
        self._listener: socket.socket | None = None
        self._joined: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Let everybody through."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self._listener = listener
        self._start(self._accept, listener)

    def close(self) -> None:
        """Refuse who comes and cut off who is through.

        Sockets are only shut down here: a thread that waits for one wouldn't notice that it is closed.
        """
        listener, self._listener = self._listener, None
        if listener is not None:
            _shut_down(listener)
            self._threads.pop(0).join()
        for open_socket in self._joined:
            _shut_down(open_socket)
        for thread in self._threads:
            thread.join()
        self._joined.clear()
        self._threads.clear()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            self._accept_all(listener)

    def _accept_all(self, listener: socket.socket) -> None:
        while self._listener is listener:
            try:
                client_side, _ = listener.accept()
            except OSError:
                return
            server_side = socket.create_connection(self._server_address)
            self._joined += [client_side, server_side]
            self._start(_join, client_side, server_side)

    def _start(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=work, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()


def _shut_down(open_socket: socket.socket) -> None:
    with contextlib.suppress(OSError):
        open_socket.shutdown(socket.SHUT_RDWR)


def _join(client_side: socket.socket, server_side: socket.socket) -> None:
    gone = contextlib.suppress(OSError, ValueError)
    with client_side, server_side, gone, selectors.DefaultSelector() as ready:
        ready.register(client_side, selectors.EVENT_READ, (client_side, server_side))
        ready.register(server_side, selectors.EVENT_READ, (server_side, client_side))
        while True:
            for key, _ in ready.select():
                source, target = key.data
                content = source.recv(65536)
                if not content:
                    return
                target.sendall(content)
