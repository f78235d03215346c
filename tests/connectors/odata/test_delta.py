"""Changes by delta links: what is new, what went, what a page told already, links that expire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from bridge.connector import DELETE, TableUse
from bridge.model.errors import Rejected
from connectors.odata.capture.pollers.delta import DeltaPoller
from connectors.odata.metadata.document import parse_metadata
from connectors.odata.protocol.entity_table import build_table
from connectors.odata.protocol.response import EntityPage, ODataResponse, page_of
from tests.connectors.odata.set_polls import polling
from tests.connectors.odata.things_service import ID, document, prop
from tests.http_proxy import CannedResponse, HttpProxy, nothing
from tests.services.odatapy import Odatapy


@pytest.fixture
def erp(odatapy: Odatapy) -> Iterator[httpx.Client]:
    with odatapy.client() as client:
        yield client


def put(erp: httpx.Client, key: str, qty: int) -> None:
    """The row, new or changed."""
    changed = erp.patch(f"Suites('{key}')", json={"qty": qty})
    if changed.status_code == 404:
        changed = erp.post("Suites", json={"order_no": key, "qty": qty})
    changed.raise_for_status()


def drop(erp: httpx.Client, key: str) -> None:
    erp.delete(f"Suites('{key}')").raise_for_status()


async def test_new_rows_are_told_from_changed_ones_also_when_they_come_again(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    """A delta response doesn't say which they are."""
    put(erp, "old", 1)
    async with polling(odatapy.url, "Suites", page=2) as polls:
        put(erp, "old", 2)
        put(erp, "new", 1)
        assert sorted(await polls.poll()) == [("create", "new", 1), ("update", "old", 2)]
        drop(erp, "old")
        assert await polls.poll() == [("delete", "old", None)]
        await polls.restart()
        put(erp, "old", 3)
        put(erp, "new", 2)
        assert sorted(await polls.poll()) == [("create", "old", 3), ("update", "new", 2)]
        # Gone and back between two looks: it was never told that it went.
        drop(erp, "new")
        put(erp, "new", 3)
        assert await polls.poll() == [("update", "new", 3)]


async def test_where_keys_have_no_room_in_the_checkpoint_a_row_that_went_is_new_again(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    put(erp, "old", 1)
    put(erp, "gone", 1)
    async with polling(odatapy.url, "Suites") as polls:
        drop(erp, "gone")
        await polls.poll()
        state = polls.poller.saved(1)
        assert state["there"] is not None, "one key has room"
        put(erp, "a", 1)
        put(erp, "b", 1)
        await polls.poll()
        await polls.restart(room=1)
        put(erp, "gone", 2)
        put(erp, "new", 1)
        assert sorted(await polls.poll()) == [("create", "gone", 2), ("update", "new", 1)]


async def test_an_expired_link_leaves_the_table_to_a_comparison_and_goes_on_from_a_new_one(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    put(erp, "a", 1)
    async with polling(odatapy.url, "Suites") as polls:
        odatapy.expire()
        drop(erp, "a")
        assert await polls.poll() == []
        assert len(polls.stale) == 1
        assert "410" in polls.stale[0]
        # The comparison deletes it from the log; so it is new.
        put(erp, "a", 2)
        assert await polls.poll() == [("create", "a", 2)]
        assert len(polls.stale) == 1


async def test_of_a_key_that_a_page_holds_twice_the_last_state_is_told(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    put(erp, "a", 1)
    async with polling(odatapy.url, "Suites") as polls:
        put(erp, "a", 2)

        def twice(body: Any) -> Any:
            if "$delta" not in body.get("@odata.context", ""):
                return body
            gone = {"@odata.context": "#Suites/$deletedEntity", "id": "Suites('a')"}
            return {**body, "value": [*body["value"], gone, *body["value"]]}

        polls.reader.bend = twice
        assert await polls.poll() == [("update", "a", 2)]


async def test_a_row_told_in_part_is_read_whole(odatapy: Odatapy, erp: httpx.Client) -> None:
    put(erp, "a", 1)
    put(erp, "b", 1)
    async with polling(odatapy.url, "Suites") as polls:

        def parts(body: Any) -> Any:
            if "$delta" not in body.get("@odata.context", ""):
                return body
            kept = [{k: v for k, v in row.items() if k != "qty"} for row in body["value"]]
            return {**body, "value": kept}

        polls.reader.bend = parts
        put(erp, "a", 7)
        put(erp, "b", 8)
        drop(erp, "b")
        changes = await polls.poll()
        assert ("update", "a", 7) in changes
        assert [op for op, key, _ in changes if key == "b"] in ([], ["delete"])


async def test_pages_of_changes_are_followed_by_their_links(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    """A page without any link tells no way on: the table is compared, and a new link taken."""
    async with polling(odatapy.url, "Suites") as polls:
        assert isinstance(polls.poller, DeltaPoller)
        put(erp, "a", 1)
        polls.reader.bend = lambda body: {
            name: part
            for name, part in body.items()
            if name != "@odata.deltaLink" or "$delta" not in body.get("@odata.context", "")
        }
        assert await polls.poll() == []
        assert "without a link" in polls.stale[0]
        polls.reader.bend = lambda body: body
        put(erp, "b", 1)
        assert await polls.poll() == [("create", "b", 1)]


async def test_a_service_that_stops_tracking_is_told_with_the_way_out(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    put(erp, "a", 1)
    async with polling(odatapy.url, "Suites") as polls:
        odatapy.expire()
        polls.reader.bend = lambda body: {k: v for k, v in body.items() if k != "@odata.deltaLink"}
        with pytest.raises(Rejected, match="change_detection: changed"):
            await polls.poll()


async def test_a_service_that_fails_for_a_moment_keeps_its_link(
    odatapy: Odatapy, erp: httpx.Client
) -> None:
    """A deadlock (a 500 with words) says nothing of the link. Thrown away, the set would be read
    whole and compared each time, and a row that came back be told as changed.
    """
    put(erp, "one", 1)
    between = HttpProxy(odatapy.address)
    async with between.serving(), polling(between.url(odatapy.url), "Suites") as polls:
        drop(erp, "one")
        assert await polls.poll() == [("delete", "one", None)]
        put(erp, "one", 2)
        body = b'{"error": {"message": "deadlock"}}'
        between.rule = lambda _: CannedResponse(500, body, {"Content-Type": "application/json"})
        with pytest.raises(Rejected, match="deadlock"):
            await polls.poll()
        between.rule = nothing
        assert await polls.poll() == [("create", "one", 2)]
        assert polls.stale == []


def removed(properties: str, key: str, entry: Mapping[str, Any]) -> Any:
    """The key of a removed row, as a delta poller reads it."""
    service = parse_metadata(document(properties, key))
    return DeltaPoller(_Delta(entry), build_table(service, TableUse("Things")), 10)


class _Delta:
    """`Asks` whose page of changes holds one entry."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._body = {"value": [entry], "@odata.deltaLink": "http://erp/next"}

    async def get(self, *_: Any, **__: Any) -> ODataResponse:
        return ODataResponse(200, {}, self._body)

    async def page(self, *_: Any, **__: Any) -> Any:
        return page_of(self._body)

    def page_in(self, answer: ODataResponse) -> EntityPage | None:
        return page_of(answer.body)


CAPITAL, REASON = prop("Id"), prop("id") + prop("reason")


GONE = {"@odata.context": "http://erp/$metadata#Things/$deletedEntity", "reason": "deleted"}


@pytest.mark.parametrize(
    ("properties", "key", "entry", "expected"),
    [
        (ID, "id", {**GONE, "id": "http://erp/Things('a%2Fb')"}, ("a/b",)),
        (ID, "id", {**GONE, "id": "Things('a')"}, ("a",)),
        (ID, "id", {**GONE, "id": "a"}, ("a",)),
        (CAPITAL, "Id", {**GONE, "id": "Things('a')"}, ("a",)),
        (CAPITAL, "Id", {**GONE, "id": "Things('x')", "Id": "a"}, ("a",)),
        (REASON, "id reason", {**GONE, "id": "Things(id='a',reason='r')"}, ("a", "r")),
        (REASON, "reason", {**GONE, "id": "Things('r')"}, ("r",)),
        (ID, "id", {"@removed": {"reason": "deleted"}, "id": "a"}, ("a",)),
        (ID, "id", {"@removed": {"reason": "deleted"}, "@id": "Things('a')"}, ("a",)),
        (ID, "id", {"@removed": {}, "@odata.id": "Things('a')", "id": "a"}, ("a",)),
        (CAPITAL, "Id", {"@removed": {"reason": "changed"}, "id": "Things('a')"}, ("a",)),
    ],
)
async def test_a_removed_row_is_the_one_that_its_address_names(
    properties: str, key: str, entry: Mapping[str, Any], expected: tuple[str, ...]
) -> None:
    poller = removed(properties, key, entry)
    poller.restore({"link": "http://erp/now", "told": "", "there": None, "gone": ""})
    [item] = (await poller.next_page()).items
    assert (item.op, item.key) == (DELETE, expected)
