"""What answers mean: errors that say they are good, batches in another order, times to wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from bridge.model.errors import ConfigurationError, OutcomeUnknown, Rejected, RetryLater
from connectors.http.dates import retry_after_seconds
from connectors.http.errors import UnreadableAnswer
from connectors.http.exchange_errors import lost_exchange
from connectors.odata.http.errors import response_error
from connectors.odata.protocol import batch
from connectors.odata.protocol.request import path_segment, redacted_url, with_query
from connectors.odata.protocol.response import ODataResponse, parse_body

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MIXED = "multipart/mixed; boundary="


def error_of(answer: ODataResponse, *, writes: bool = False) -> Exception | None:
    return response_error(answer, "here", writes=writes, now=NOW)


@pytest.mark.parametrize(
    "body",
    [
        {"ID": 1, "error": "none of the bridge's"},
        {"@odata.context": "x", "ID": 1, "error": {"message": "a complex property"}},
        {"d": {"error": "no"}},
        b"<entry><content><d:Message>hello</d:Message></content></entry>",
    ],
)
def test_a_row_that_has_an_error_is_a_row(body: Any) -> None:
    """A write that is done must not be told as failed because of what its row holds."""
    assert error_of(ODataResponse(200, {}, body)) is None
    assert error_of(ODataResponse(201, {}, body), writes=True) is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "7", "message": "Locked"}},
        {"odata.error": {"code": "7", "message": {"value": "Locked"}}},
        {"@odata.context": "x", "error": {"message": "Locked"}},
        b'<?xml version="1.0"?><m:error><m:message>Locked</m:message></m:error>',
    ],
)
def test_an_error_that_says_it_is_good_is_an_error(body: Any) -> None:
    error = error_of(ODataResponse(200, {}, body), writes=True)
    assert isinstance(error, Rejected)
    assert "Locked" in str(error)


def test_what_may_have_been_done_is_not_told_as_refused() -> None:
    page = ODataResponse(200, {"content-type": "text/html"}, b"<html><title>Thanks</title></html>")
    assert isinstance(error_of(page), ConfigurationError)
    assert isinstance(error_of(page, writes=True), OutcomeUnknown)
    see = ODataResponse(303, {"location": "/orders/1"}, None)
    assert isinstance(error_of(see), ConfigurationError)
    assert isinstance(error_of(see, writes=True), OutcomeUnknown)
    assert isinstance(
        error_of(ODataResponse(302, {"location": "/login"}, None), writes=True), ConfigurationError
    )


def test_a_date_to_wait_for_is_read_by_the_service_s_own_clock() -> None:
    headers = {"retry-after": "Sun, 22 Nov 2026 15:00:20 GMT"}
    assert retry_after_seconds(headers, NOW) == 3 * 3600 + 20
    ahead = {**headers, "date": "Sun, 22 Nov 2026 15:00:00 GMT"}
    assert retry_after_seconds(ahead, NOW) == 20
    away = error_of(ODataResponse(429, ahead, None), writes=True)
    assert isinstance(away, RetryLater)
    assert away.after == 20
    assert retry_after_seconds({"retry-after": "soon"}, NOW) is None


@pytest.mark.parametrize(
    "retry_after",
    ["9" * 400, "99999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 -2359"],
)
def test_a_time_to_wait_that_never_ends_is_a_day(retry_after: str) -> None:
    assert retry_after_seconds({"retry-after": retry_after}, NOW) == 86_400


def test_json_that_is_nested_too_deeply_can_not_be_read() -> None:
    with pytest.raises(UnreadableAnswer):
        parse_body("application/json", b"[" * 100_000)


def test_change_sets_inside_of_change_sets_can_not_be_read() -> None:
    inner = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b--\r\n"
    with pytest.raises(UnreadableAnswer):
        batch.multipart_responses(MIXED + "out", changeset(inner), 1, changeset=True)


@pytest.mark.parametrize("address", ["http://[", "//[::1/", "\x00"])
def test_addresses_that_are_none_can_be_shown(address: str) -> None:
    assert isinstance(redacted_url(address), str)


def part(status: int, body: str, before: str = "", inside: str = "") -> str:
    return (
        f"Content-Type: application/http\r\n{before}\r\nHTTP/1.1 {status} x\r\n{inside}"
        f"Content-Type: application/json\r\n\r\n{body}\r\n"
    )


def changeset(*parts: str, inner: str = "in+(1)?") -> bytes:
    inside = "".join(f"--{inner}\r\n{part}" for part in parts)
    return (
        f'before\r\n--out\r\nContent-Type: Multipart/Mixed; charset=x; boundary="{inner}"\r\n\r\n'
        f"{inside}--{inner}--\r\n--out--\r\nbehind"
    ).encode()


@pytest.mark.parametrize("content_id_header", ["before", "inside"])
def test_answers_of_a_change_set_in_another_order_are_put_in_order(content_id_header: str) -> None:
    parts = [
        part(201, f'{{"n": {n}}}', **{content_id_header: f"Content-ID: {n}\r\n"}) for n in (2, 1)
    ]
    responses = batch.multipart_responses(MIXED + "out", changeset(*parts), 2, changeset=True)
    assert [response.body for response in responses] == [{"n": 1}, {"n": 2}]


def test_answers_of_a_json_batch_in_another_order_are_put_in_order() -> None:
    items = [{"id": str(n), "status": 200, "body": {"n": n}} for n in (3, 1, 2)]
    responses = batch.json_responses({"responses": items}, 3, changeset=False)
    assert [response.body["n"] for response in responses] == [1, 2, 3]


def test_a_change_set_that_tells_of_some_of_its_requests_only_leaves_them_in_doubt() -> None:
    """It happened as a whole: nothing of it may be called refused."""
    with pytest.raises(UnreadableAnswer):
        batch.multipart_responses(
            MIXED + "out", changeset(part(201, '{"n": 1}')), 2, changeset=True
        )
    with pytest.raises(UnreadableAnswer):
        batch.json_responses({"responses": [{"id": "1", "status": 204}]}, 2, changeset=True)
    failed = changeset(part(409, '{"error": {"message": "no"}}'))
    responses = batch.multipart_responses(MIXED + "out", failed, 2, changeset=True)
    assert [response.status for response in responses] == [409, 409]


def test_boundaries_may_hold_what_means_something_to_patterns_and_lines_may_end_short() -> None:
    body = changeset(part(200, "{}"), inner="a.*(b)[c]+?").replace(b"\r\n", b"\n")
    assert len(batch.multipart_responses(MIXED + "out", body, 1, changeset=True)) == 1
    with pytest.raises(UnreadableAnswer):
        batch.multipart_responses(MIXED + "out", body[: body.index(b"--out--")], 1, changeset=True)


def test_keys_and_values_stay_in_their_place_in_a_url() -> None:
    assert path_segment("'a/b?c#d%e+f&g h;i'") == "'a%2Fb%3Fc%23d%25e%2Bf%26g%20h%3Bi'"
    assert path_segment("'\u00e9'") == "'%C3%A9'"
    assert with_query("X", {"$filter": "a eq 'b;c&d+e#f'"}) == (
        "X?$filter=a%20eq%20'b%3Bc%26d%2Be%23f'"
    )


def test_a_header_that_can_not_be_sent_is_told_without_what_it_holds() -> None:
    error = httpx.LocalProtocolError("Illegal header value b's3cret\\n'")
    responses = lost_exchange(error, "here", writes=True)
    assert isinstance(responses, ConfigurationError)
    assert "s3cret" not in str(responses)


@pytest.mark.parametrize("kind", [httpx.ReadError, httpx.RemoteProtocolError])
def test_a_connection_that_ends_may_want_a_certificate(kind: type[httpx.TransportError]) -> None:
    """The server's alert is often overtaken by the end of its connection, in either form."""
    for scheme, hint in (("https", True), ("http", False)):
        error = kind("ended", request=httpx.Request("GET", f"{scheme}://erp/x/"))
        responses = lost_exchange(error, "here", writes=False)
        assert isinstance(responses, RetryLater)
        assert ("see `certificate` under `tls:`" in str(responses)) is hint


def test_a_lone_property_that_is_called_error_is_no_error() -> None:
    row = {"@odata.context": "$metadata#Things(error)/$entity", "error": "E1"}
    assert response_error(ODataResponse(200, {}, row), "GET", writes=False, now=NOW) is None
    refusal = response_error(
        ODataResponse(200, {}, {"error": {"message": "no"}}), "GET", writes=False, now=NOW
    )
    assert isinstance(refusal, Rejected)
