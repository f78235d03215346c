"""Ports for servers that nobody else takes before they listen, nor while they are down."""

import errno
import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Below those that systems give to clients (Linux from 32768, others from 49152): a server that is
# stopped, or not started yet, would find its port taken by somebody's connection.
FIRST, LAST, BLOCK = 20_000, 32_700, 100


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on; no other process gets them while this one lives.

    Test runs side by side, and the workers of one, each take blocks of their own.
    """
    return [next(_ports) for _ in range(count)]


def _mine() -> Iterator[int]:
    folder = Path(tempfile.gettempdir()) / f"bridge-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for first in range(FIRST, LAST, BLOCK):
        # Open for as long as the process lives, and never handed to a server.
        lock = os.open(folder / str(first), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        yield from filter(_unused, range(first, first + BLOCK))
    raise RuntimeError(f"no port from {FIRST} to {LAST} is free: are there test runs left behind?")


def _unused(port: int) -> bool:
    with socket.socket() as asking:
        try:
            asking.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


_ports = _mine()
