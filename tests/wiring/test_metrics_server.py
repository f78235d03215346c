"""The metrics port under clients that are slow, many or hostile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from prometheus_client import CollectorRegistry, Gauge, make_wsgi_app

from bridge.wiring.metrics_server import MAX_REQUEST_BYTES, serving
from tests.waiting import PATIENCE


@contextmanager
def port(timeout_s: float = PATIENCE, max_connections: int = 300) -> Iterator[int]:
    registry = CollectorRegistry()
    Gauge("bridge_test", "A figure", registry=registry).set(7)
    app = make_wsgi_app(registry)
    with serving(app, "127.0.0.1", 0, timeout_s=timeout_s, max_connections=max_connections) as made:
        yield made


def connected(stack: ExitStack, to: int) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", to), timeout=PATIENCE))


def heard(on: socket.socket, said: bytes = b"") -> bytes:
    """What comes once that was said; nothing where the connection is ended."""
    try:
        on.sendall(said)
        return on.recv(1)
    except ConnectionError:
        return b""


def scraped(at: int) -> str:
    return httpx.get(f"http://127.0.0.1:{at}/metrics", timeout=PATIENCE, trust_env=False).text


def test_clients_that_say_nothing_cost_no_thread_and_hold_up_nobody() -> None:
    with port() as at, ExitStack() as stack:
        threads = threading.active_count()
        for _ in range(200):
            connected(stack, at).sendall(b"GET / HTTP/1.1\r\nslow")
        assert "bridge_test 7.0" in scraped(at)
        assert threading.active_count() == threads


def test_a_client_that_says_nothing_is_let_go_after_a_while() -> None:
    with port(timeout_s=0.1) as at, ExitStack() as stack:
        silent = connected(stack, at)
        assert heard(silent) == b""


def test_more_than_so_many_are_let_go_at_once() -> None:
    with port(max_connections=1) as at, ExitStack() as stack:
        first = connected(stack, at)
        first.sendall(b"GET / HTTP/1.1\r\n")
        second = connected(stack, at)
        assert heard(second) == b""
        first.sendall(b"\r\n")
        assert first.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"x" * 2 * MAX_REQUEST_BYTES, b"a b c d\r\n\r\n"],
)
def test_what_is_no_request_gets_no_answer_and_ends_nothing(request_bytes: bytes) -> None:
    with port() as at, ExitStack() as stack:
        asking = connected(stack, at)
        assert heard(asking, request_bytes) == b""
        assert "bridge_test 7.0" in scraped(at)


def test_methods_that_are_none_of_ours_are_refused() -> None:
    with port() as at:
        answer = httpx.post(f"http://127.0.0.1:{at}/", timeout=PATIENCE, trust_env=False)
    assert answer.status_code == 405
