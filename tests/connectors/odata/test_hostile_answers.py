"""Answers that are meant to cost much or to end something: one error of the bridge's, at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.errors import BridgeError
from connectors.http.errors import UnreadableAnswer
from connectors.odata.http.errors import response_error
from connectors.odata.metadata.model import Property
from connectors.odata.protocol import multipart
from connectors.odata.protocol.property_values import row_value
from connectors.odata.protocol.response import ODataResponse
from tests.connectors.odata.test_property_values import prop

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
KIND = "multipart/mixed; boundary=b"
LINES = st.sampled_from(
    [b"--b\r\n", b"--b--", b"Content-Type: application/http\r\n", b"\r\n", b"HTTP/1.1 200 OK\r\n",
     b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\n", b"Content-Length: " + b"9" * 5000 + b"\r\n",
     b"Content-Type: application/json\r\n", b"{}", b'{"a": 1e999999999}', b"[" * 500,
     b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-ID: 1\r\n", b"\xff", b"x"]
)  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["text/html", "application/json", "", "x" * 9000]),
        "retry-after": st.sampled_from(["9" * 99, "²", "Sun, 06 Nov 1994 08:49:37 +9999", "soon"]),
        "date": st.sampled_from(["Fri, 31 Dec 9999 23:59:59 -2359", "+99999999999", ""]),
        "location": st.sampled_from(["http://[", "//", "\x00", "x" * 9000]),
    },
)


@given(st.lists(LINES, max_size=12).map(b"".join) | st.binary(max_size=60))
def test_whatever_a_batch_holds_is_answers_or_unreadable(content: bytes) -> None:
    try:
        multipart.decode(KIND, content)
    except UnreadableAnswer:
        return


def test_a_batch_of_more_parts_than_the_memory_holds_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswer, match="more than 100000 parts"):
        multipart.decode(KIND, b"\n--b" * (multipart.MAX_PARTS + 1) + b"\n--b--")


@given(
    status=st.integers(100, 599),
    headers=HEADERS,
    body=st.binary(max_size=60)
    | st.none()
    | st.dictionaries(st.sampled_from(["error", "value", "message"]), st.none() | st.text()),
    writes=st.booleans(),
)
def test_whatever_comes_is_no_fault_or_one_of_the_bridges_errors(
    status: int, headers: dict[str, str], body: object, *, writes: bool
) -> None:
    error = response_error(ODataResponse(status, headers, body), "here", writes=writes, now=NOW)
    assert error is None or isinstance(error, BridgeError)


@pytest.mark.parametrize("piece", [b"<title>", b"<message>", b"<!--", b"<?xml ", b" ", b"-->"])
@pytest.mark.parametrize("status", [200, 400, 503])
def test_an_error_page_that_is_made_to_take_long_does_not(piece: bytes, status: int) -> None:
    """420 kB of `<title>` blocked the process, metrics and SIGTERM with it."""
    body = b"<html>" + piece * (420_000 // len(piece))
    began = time.process_time()
    for kind in ("text/html", "application/xml", ""):
        response_error(
            ODataResponse(status, {"content-type": kind}, body), "here", writes=False, now=NOW
        )
    assert time.process_time() - began < 5


@pytest.mark.parametrize("edm", ["Edm.Decimal", "Edm.Double", "Edm.Int64", "Edm.String"])
@pytest.mark.parametrize("number", ["1e300000000", "-1e300000000", "9" * 5000, "1e-300000000"])
def test_a_number_out_of_bounds_stays_its_text_for_its_plan_to_refuse(
    edm: str, number: str
) -> None:
    of: Property = prop(edm)
    assert row_value(of, "v4", number) == number


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e-400"])
def test_a_number_beyond_doubles_is_neither_infinite_nor_zero(text: str) -> None:
    assert row_value(prop("Edm.Double"), "v4", text) == text
