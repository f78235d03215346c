"""The metrics port under clients that are slow, many or hostile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus

import httpx
import pytest

from bridge.wiring.metrics_server import (
    MAX_REQUEST_BYTES,
    HttpRequest,
    HttpResponse,
    serving,
)
from tests.waiting import WAIT_TIMEOUT_S


@contextmanager
def port(timeout_s: float = WAIT_TIMEOUT_S, max_connections: int = 300) -> Iterator[int]:
    routes = {"/metrics": figures, "/healthz": figures, "/readyz": broken}
    with serving(
        routes, "127.0.0.1", 0, timeout_s=timeout_s, max_connections=max_connections
    ) as server:
        yield server


async def figures(request: HttpRequest) -> HttpResponse:
    del request
    return HttpResponse(HTTPStatus.OK, b"bridge_test 7.0\n")


async def broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError(request)


def connected(stack: ExitStack, to: int) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", to), timeout=WAIT_TIMEOUT_S))


def heard(on: socket.socket, request: bytes = b"") -> bytes:
    """What comes once that was said; nothing where the connection is ended."""
    try:
        on.sendall(request)
        return on.recv(1)
    except ConnectionError:
        return b""


def scraped(at: int) -> str:
    return httpx.get(f"http://127.0.0.1:{at}/metrics", timeout=WAIT_TIMEOUT_S, trust_env=False).text


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


def test_silent_clients_make_room_for_one_that_asks() -> None:
    """However many sit there, a scrape or a probe gets its answer; otherwise they end the process."""
    with port(max_connections=2) as at, ExitStack() as stack:
        silent = [connected(stack, at) for _ in range(20)]
        for client in silent:
            with suppress(ConnectionError):
                client.sendall(b"GET / HTTP/1.1\r\n")
        assert "bridge_test 7.0" in scraped(at)
        assert heard(silent[0]) == b""


@pytest.mark.parametrize(
    "sent",
    [b"GET /metrics HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n" * 50, b"G"],
    ids=["an answer that nobody reads", "many requests at once", "hardly anything"],
)
def test_clients_that_only_sit_there_make_room(sent: bytes) -> None:
    """However many there are, and whatever they have asked before."""
    with port(max_connections=2) as at, ExitStack() as stack:
        for _ in range(20):
            sitting = connected(stack, at)
            with suppress(ConnectionError):
                sitting.sendall(sent)
        assert "bridge_test 7.0" in scraped(at)


@pytest.mark.parametrize(
    "request_bytes",
    [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"x" * 2 * MAX_REQUEST_BYTES, b"a b c d\r\n\r\n"],
)
def test_what_is_no_request_gets_no_answer_and_ends_nothing(request_bytes: bytes) -> None:
    with port() as at, ExitStack() as stack:
        asking = connected(stack, at)
        assert heard(asking, request_bytes) == b""
        assert "bridge_test 7.0" in scraped(at)


def request(at: int, method: str, path: str) -> httpx.Response:
    return httpx.request(
        method, f"http://127.0.0.1:{at}{path}", timeout=WAIT_TIMEOUT_S, trust_env=False
    )


@pytest.mark.parametrize("path", ["/", "/metrics/", "/favicon.ico", "/healthz/x", "/%6detrics"])
def test_there_is_nothing_at_other_paths(path: str) -> None:
    """Any path answered with the metrics, so that a probe of one that isn't there was fine."""
    with port() as at:
        answer = request(at, "GET", path)
    assert answer.status_code == 404
    assert "/metrics, /healthz, /readyz" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_are_refused(method: str) -> None:
    with port() as at:
        answer = request(at, method, "/metrics")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_answered_as_get_without_the_body() -> None:
    with port() as at:
        answer = request(at, "HEAD", "/metrics")
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["content-length"] == "16"


def test_figures_that_cannot_be_read_are_an_error_of_the_server() -> None:
    with port() as at:
        answer = request(at, "GET", "/readyz?verbose")
        assert (answer.status_code, "ZeroDivisionError" in answer.text) == (500, False)
        assert "bridge_test 7.0" in scraped(at)
