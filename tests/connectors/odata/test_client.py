"""What a service may answer besides OData, and what people are told then."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from bridge.model.errors import (
    ConfigurationError,
    HistoryLost,
    OutcomeUnknown,
    Rejected,
    RetryLater,
    Unsupported,
)
from connectors.http import json_values
from connectors.odata.http.client import ODataClient
from connectors.odata.http.transport import ODataTransport
from connectors.odata.protocol.request import ODataRequest
from tests.connectors.odata.order_system import system
from tests.http_proxy import CUT, HANG, CannedResponse, ForwardedRequest, HttpProxy, Rule
from tests.services.cap import PASSWORD, Cap
from tests.services.ports import free_ports
from tests.waiting import until

JSON = {"Content-Type": "application/json"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
LOGIN_PAGE = b"<!DOCTYPE html><html><head><title>Log on\n to ERP</title></head></html>"


@asynccontextmanager
async def between(cap: Cap, **options: float) -> AsyncIterator[tuple[HttpProxy, ODataClient]]:
    """A client that has the metadata, with everything in between still to be broken."""
    proxy = HttpProxy(cap.address)
    async with proxy.serving():
        client = ODataClient(system(proxy.url(cap.url), options=options))

        async def opened() -> bool:
            """A slow service may answer later than the client waits."""
            with suppress(RetryLater):
                await client.open()
                return True
            return False

        try:
            await until(opened)
            yield proxy, client
        finally:
            await client.close()


def always(answer: CannedResponse | str) -> Rule:
    return lambda _: answer


async def error_text_of(url: str, **options: float) -> str:
    """What is said of a service that can't be opened."""
    client = ODataClient(system(url, options=options))
    with pytest.raises(ConfigurationError) as caught:
        await client.open()
    await client.close()
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


async def test_a_wrong_password_is_told_without_it(cap: Cap) -> None:
    wrong = cap.url.replace(PASSWORD, "Wr0ng&secret")
    error_text = await error_text_of(wrong)
    assert error_text.startswith("system 'erp': GET $metadata: the login was refused (401)")
    assert "Wr0ng" not in error_text


@pytest.mark.parametrize("url", ["ftp://host/x/", "no url", "https://", "http://host:port/"])
async def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigurationError, match="should be the root of an OData service"):
        ODataClient(system(url))


async def test_another_page_of_the_right_server_is_told(cap: Cap) -> None:
    assert "should be the root of the service" in await error_text_of(
        cap.url.replace("/erp/", "/nope/")
    )


async def test_a_server_that_is_not_there_is_asked_again_later() -> None:
    [port] = free_ports(1)
    client = ODataClient(system(f"http://127.0.0.1:{port}/x/"))
    with pytest.raises(RetryLater, match="can't be reached"):
        await client.open()
    await client.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            CannedResponse(200, LOGIN_PAGE, HTML),
            "a web page ('Log on to ERP') came instead of OData",
        ),
        (CannedResponse(200, b"<html>x", {"Content-Type": "text/plain"}), "a web page came"),
        (
            CannedResponse(302, b"", {"Location": "https://sso.example/login?token=s3cret"}),
            "redirects (302) to https://sso.example/login; if it has moved, correct `url`",
        ),
        (
            CannedResponse(308, b"", {"Location": "/elsewhere/erp/"}),
            "redirects (308) to /elsewhere/erp/",
        ),
        (
            CannedResponse(403, b"no", {"Content-Type": "text/plain"}),
            "403: no; the login has no right",
        ),
        (
            CannedResponse(200, b"<services/>", {"Content-Type": "application/xml"}),
            "begins with <services>",
        ),
    ],
)
async def test_what_is_no_service_is_told_with_the_way_out(
    cap: Cap, answer: CannedResponse, words: str
) -> None:
    proxy = HttpProxy(cap.address)
    async with proxy.serving():
        proxy.rule = always(answer)
        error_text = await error_text_of(proxy.url(cap.url))
    assert words in error_text
    assert "token=" not in error_text


async def test_a_200_with_an_error_in_it_is_an_error(cap: Cap) -> None:
    error = {"error": {"code": "X", "message": "The posting period is closed", "details": []}}
    async with between(cap) as (proxy, client):
        proxy.rule = always(CannedResponse(200, json.dumps(error).encode(), JSON))
        with pytest.raises(Rejected, match="The posting period is closed"):
            await client.get("Orders")
        with pytest.raises(Rejected, match="The posting period is closed"):
            await client.send("POST", "Orders", body={})


@pytest.mark.parametrize(
    "answer",
    [
        CannedResponse(200, b'{"value": [{"ID": 1}, {"ID"', JSON),
        CannedResponse(200, b'{"value": [{"ID": 1}, {"ID"', JSON, length=2000),
        CannedResponse(200, b"", {}, length=10),
        CannedResponse(502, b"Bad gateway", {"Content-Type": "text/plain"}),
        CannedResponse(500, b"", {}),
        CUT,
        HANG,
    ],
)
async def test_half_an_answer_is_asked_for_again_and_of_a_write_the_outcome_is_unknown(
    cap: Cap, answer: CannedResponse | str
) -> None:
    async with between(cap, timeout=3 if answer == HANG else 60) as (proxy, client):
        proxy.rule = always(answer)
        with pytest.raises(RetryLater):
            await client.get("Orders")
        with pytest.raises(OutcomeUnknown):
            await client.send("POST", "Orders", body={"number": "7"})


async def test_a_busy_service_says_when_to_come_back(cap: Cap) -> None:
    async with between(cap) as (proxy, client):
        for status in (429, 503):
            proxy.rule = always(CannedResponse(status, b"", {"Retry-After": "12"}))
            for asking in (client.get("Orders"), client.send("POST", "Orders", body={})):
                with pytest.raises(RetryLater) as caught:
                    await asking
                assert caught.value.after == 12
        proxy.rule = always(
            CannedResponse(503, b"", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
        )
        with pytest.raises(RetryLater) as caught:
            await client.get("Orders")
        assert caught.value.after == 0


async def test_a_link_that_has_expired_is_lost_history_and_any_other_410_is_not(cap: Cap) -> None:
    async with between(cap) as (proxy, client):
        proxy.rule = always(CannedResponse(410))
        with pytest.raises(HistoryLost, match="what has changed since"):
            await client.get("Orders?$deltatoken=1", absolute=True)
        with pytest.raises(Rejected):
            await client.get("Orders")


async def test_links_to_another_name_of_the_service_are_followed_and_to_other_places_not(
    cap: Cap,
) -> None:
    """A proxy may hide a service that only knows its own name; nobody else gets the login."""
    cap.fill(orders=5)
    for host, path in (("erp.internal:8000", "/odata/v4/erp/"), ("evil.example", "/steal/")):
        link = f"http://{host}{path}Orders?$skiptoken=2"
        page = {"value": [{"ID": "1"}], "@odata.nextLink": link}

        def elsewhere(request: ForwardedRequest, page: object = page) -> CannedResponse | None:
            first = request.path.endswith("/Orders")
            return CannedResponse(200, json.dumps(page).encode(), JSON) if first else None

        async with between(cap) as (proxy, client):
            proxy.rule = elsewhere
            pages = client.pages("Orders")
            assert len((await anext(pages)).rows) == 1
            if host == "evil.example":
                with pytest.raises(
                    ConfigurationError, match=r"link to http://evil\.example/steal/Orders"
                ):
                    await anext(pages)
            else:
                assert len((await anext(pages)).rows) == 3


async def test_pages_that_go_in_a_circle_end(cap: Cap) -> None:
    page = {"value": [{"ID": "1"}], "@odata.nextLink": "Orders?$skiptoken=1"}
    async with between(cap) as (proxy, client):
        proxy.rule = always(CannedResponse(200, json.dumps(page).encode(), JSON))
        with pytest.raises(RetryLater, match="form a circle"):
            async for _ in client.pages("Orders"):
                pass


async def test_a_query_in_the_url_goes_with_every_request(cap: Cap) -> None:
    proxy = HttpProxy(cap.address)
    async with proxy.serving():
        client = ODataClient(system(proxy.url(cap.url) + "?sap-client=100"))
        await client.page("Orders", {"$top": "1"})
        await client.close()
    assert all("sap-client=100" in request.path for request in proxy.requests)
    assert proxy.requests[1].path.endswith("/Orders?$top=1&sap-client=100")


async def test_a_service_that_repeats_the_password_does_not_get_it_into_messages(cap: Cap) -> None:
    error = {"error": {"code": "X", "message": f"user bridge with {PASSWORD} is locked"}}
    async with between(cap) as (proxy, client):
        proxy.rule = always(CannedResponse(400, json.dumps(error).encode(), JSON))
        with pytest.raises(Rejected) as caught:
            await client.get("Orders")
    assert "user bridge with *** is locked" in str(caught.value)


async def test_metadata_is_read_as_json_where_there_is_no_xml(cap: Cap) -> None:
    """Whatever numbers its annotations hold."""
    document = {
        "$Version": "4.01",
        "Own": {
            "One": {"$Kind": "EntityType", "$Key": ["ID"], "ID": {"@Own.Weight": 0.5}},
            "All": {"$Kind": "EntityContainer", "Ones": {"$Collection": True, "$Type": "Own.One"}},
        },
        "$EntityContainer": "Own.All",
    }

    def only_json(request: ForwardedRequest) -> CannedResponse:
        wanted = "json" in request.headers["accept"]
        return (
            CannedResponse(200, json.dumps(document).encode(), JSON)
            if wanted
            else CannedResponse(406, b"no XML here")
        )

    proxy = HttpProxy(cap.address)
    proxy.rule = only_json
    async with proxy.serving():
        client = ODataClient(system(proxy.url(cap.url)))
        assert list((await client.metadata()).sets) == ["Ones"]
        await client.close()


async def test_a_batch_that_is_refused_with_the_password_does_not_get_it_into_messages(
    cap: Cap,
) -> None:
    async with between(cap) as (proxy, client):
        refusal = {"error": {"message": f"what is {PASSWORD}?"}}
        proxy.rule = always(CannedResponse(400, json.dumps(refusal).encode(), JSON))
        with pytest.raises(Unsupported, match=r"accepts no \$batch: .*what is \*\*\*") as raised:
            await client.batch([ODataRequest("GET", "Orders"), ODataRequest("GET", "Lines")])
        assert PASSWORD not in str(raised.value)


async def test_an_answer_without_end_is_given_up_before_it_fills_the_memory(
    cap: Cap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that knows no pages answers with the whole set, compressed to almost nothing."""
    proxy = HttpProxy(cap.address)
    async with proxy.serving():
        large = gzip.compress(b'{"value": []' + b" " * 5 * 2**20 + b"}")
        proxy.rule = always(CannedResponse(200, large, {**JSON, "Content-Encoding": "gzip"}))
        exchange = ODataTransport(system(proxy.url(cap.url)), largest=2**20)
        with pytest.raises(ConfigurationError, match="GET Orders: the answer has more than 1 MB"):
            await exchange.ask(ODataRequest("GET", "Orders"))
        with pytest.raises(OutcomeUnknown, match="POST Orders: the answer has more than 1 MB"):
            await exchange.ask(ODataRequest("POST", "Orders", {"ID": "1"}))
        # So are values, each of which takes more than its few bytes: to ask again helps nobody.
        monkeypatch.setattr(json_values, "MAX_VALUES", 100)
        many = json.dumps({"value": list(range(200))}).encode()
        proxy.rule = always(CannedResponse(200, many, JSON))
        with pytest.raises(ConfigurationError, match="GET Orders: the answer has more than 100 v"):
            await exchange.ask(ODataRequest("GET", "Orders"))
        with pytest.raises(OutcomeUnknown, match="POST Orders: the answer has more than 100 v"):
            await exchange.ask(ODataRequest("POST", "Orders", {"ID": "1"}))
        proxy.rule = always(CannedResponse(200, b"{}", JSON))
        assert (await exchange.ask(ODataRequest("GET", "Orders"))).body == {}
        await exchange.close()
