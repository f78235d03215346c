"""Capture of services that ignore what they are told: all rows, or a sentence; never fewer in silence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.connector import CREATE, DELETE, UPDATE, Batch, Checkpoint
from bridge.connector.answer_check import AnswerMismatch
from bridge.model.errors import RetryLater
from connectors.odata.capture.feed import RETRY_AVOIDED_S, EntityFeed
from connectors.odata.capture.options import options_of
from connectors.odata.capture.snapshot.chunks import ODataSnapshot
from connectors.odata.capture.source import ODataSource
from connectors.odata.connector import connector
from connectors.odata.http.client import ODataClient
from tests.connectors.odata.lying_service import LIES, LyingService
from tests.connectors.odata.test_lying_service import BOTH, Ticking, key, lying, row, system_of

# Its many short tests take longer than most files: it begins first.
pytestmark = pytest.mark.slow

EVERY_LIE = pytest.mark.parametrize("lie", sorted(LIES))
BOTH_SETS = pytest.mark.parametrize("table", ["Suites", "Plains"])


async def walked(
    service: LyingService,
    table: str = "Plains",
    *,
    keys: bool = False,
    limit: int = 7,
    **where: Any,
) -> list[str]:
    """The keys of a snapshot, taken chunk by chunk."""
    snapshot = ODataSnapshot(system_of(service, table))
    rows: dict[str, None] = {}
    after = None
    try:
        while True:
            if keys:
                chunk = await snapshot.keys(table, after, limit)
            else:
                chunk = await snapshot.chunk(table, where or None, after, limit)
            index = [column.name for column in chunk.shape.columns].index("order_no")
            rows |= {raw[index]: None for raw in chunk.rows}
            if chunk.last is None:
                return sorted(rows)
            after = chunk.last
    finally:
        await snapshot.close()


EVERY_KEY = [key(number) for number in range(30)]


@BOTH
@BOTH_SETS
@EVERY_LIE
async def test_no_lie_makes_a_snapshot_leave_rows_out(lie: str, table: str, version: str) -> None:
    """1,336 of 1,500 rows, "done", and thousands of live rows were told as deleted."""
    async with lying(lie, version=version) as service:
        if lie == "links":
            service.lies |= {"filter"}  # by key it doesn't matter
            with pytest.raises(AnswerMismatch, match="its link"):
                await walked(service, table)
            return
        assert await walked(service, table) == EVERY_KEY
        assert await walked(service, table, keys=True, limit=50) == EVERY_KEY


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize(
    "lies",
    [
        ["order", "pages cut"],
        ["order of pages", "pages cut"],
        ["filter", "pages cut"],
        ["filter finds nothing", "pages cut"],
        ["order", "pages cut", "count ignored"],
        ["order", "pages cut", "count"],
    ],
)
async def test_a_snapshot_whose_end_cannot_be_known_is_never_done(
    lies: list[str], keys: bool
) -> None:
    async with lying(*lies) as service:
        with pytest.raises(AnswerMismatch, match=r"'Plains': rows would be left out: .*\$orderby"):
            await walked(service, keys=keys)


async def test_a_snapshot_by_a_condition_that_is_ignored_is_refused() -> None:
    async with lying() as service:
        assert await walked(service, customer=["C0", "C1"]) == [
            key(number) for number in range(30) if number % 3 < 2
        ]
        service.lies = {"filter"}
        with pytest.raises(AnswerMismatch, match="rows have another customer than requested"):
            await walked(service, customer=["C0", "C1"])


async def test_a_snapshot_sees_a_service_that_begins_to_lie_on_the_way() -> None:
    """What was read in an order that doesn't hold is read again, by the service's own links."""
    async with lying() as service:
        snapshot = ODataSnapshot(system_of(service, "Plains"))
        chunk = await snapshot.chunk("Plains", None, None, 7)
        service.lies = {"filter", "order"}
        rows: set[str] = set()
        while chunk.last is not None:
            chunk = await snapshot.chunk("Plains", None, chunk.last, 7)
            rows |= {raw[0] for raw in chunk.rows}
        await snapshot.close()
        assert sorted(rows) == EVERY_KEY


async def test_a_service_that_sorts_in_another_way_than_it_compares_is_seen_by_its_count() -> None:
    """Texts sorted by one collation and compared by another: rows in the middle are never reached."""
    async with lying(page=20) as service:
        # Sorted after the digits, and compared as less than they are.
        service.write("Plains", *({"order_no": f"A01 {n}"} for n in range(3)))
        service.collate = lambda text: str(text).replace(" ", "~")
        assert len(await walked(service, limit=5)) == 33
        assert any("$skiptoken" in path for path in service.paths)


class CapturedSet:
    """What a source tells of one set, and why it could not be read."""

    def __init__(self, service: LyingService, table: str, **options: Any) -> None:
        self.of = system_of(service, table, **options)
        self.last: dict[str, Any] = {}
        self.troubles: set[str] = set()
        self.stale: set[str] = set()
        self._source = ODataSource(self.of)

    async def open(self, after: Checkpoint | None = None) -> None:
        self.checkpoint = await self._source.open(after)

    async def look(self, rounds: int = 2) -> dict[str, Any]:
        """What so many more looks tell."""
        self.last = {}
        looks, done = -1, 0
        while done < rounds:
            try:
                batch = await self._source.read(100, 0.05)
            except RetryLater as error:
                self.troubles.add(str(error))
                done += 1
                continue
            self._take(batch)
            if batch.troubles or batch.polls > looks >= 0:
                done += 1
            looks = batch.polls
        return self.last

    def _take(self, batch: Batch) -> None:
        self.checkpoint = batch.checkpoint
        self.troubles |= set(batch.troubles.values())
        self.stale |= {stale.reason for stale in batch.stale if not stale.deletes_only}
        for change in batch.changes:
            raw = change.new if change.new is not None else change.old
            names = [column.name for column in change.shape.columns]
            row = dict(zip(names, raw, strict=True))
            self.last[row["order_no"]] = None if change.op == DELETE else row["qty"]
            assert change.op in {CREATE, UPDATE, DELETE}

    async def close(self) -> None:
        await self._source.close()


@BOTH
@BOTH_SETS
@EVERY_LIE
async def test_no_lie_makes_capture_miss_a_row(lie: str, table: str, version: str) -> None:
    """`ne null` answered wrongly: nothing was told after the snapshot, and all looked healthy; pages
    cut short: later rows were never learnt of.
    """
    async with lying(lie, version=version) as service:
        capture = CapturedSet(service, table, page=8)
        await capture.open()
        service.write(table, row(40), row(41), row(5, qty=55), row(29, qty=56))
        wanted = {key(40): 40, key(41): 41, key(5): 55, key(29): 56}
        seen: dict[str, Any] = {}
        for _ in range(4):
            seen |= await capture.look(1)
        await capture.close()
        if lie == "links" and table == "Plains":
            assert {key for key in wanted if key in seen} or capture.troubles
        assert {key: seen.get(key) for key in wanted} == wanted or capture.troubles, capture.stale
        assert not [key for key, qty in seen.items() if qty is None], "nothing was deleted"
        if not capture.troubles:
            assert seen == wanted, "nothing else was told"


@pytest.mark.parametrize("lie", ["filter", "order", "filter finds nothing"])
async def test_a_set_whose_times_of_change_cannot_be_asked_for_is_listed(lie: str) -> None:
    async with lying(lie) as service:
        capture = CapturedSet(service, "Suites")
        await capture.open()
        service.write("Suites", row(40))
        service.delete("Suites", key(3))
        assert await capture.look() == {key(40): 40, key(3): None}
        await capture.close()
        again = CapturedSet(service, "Suites")
        await again.open(capture.checkpoint)
        service.write("Suites", row(41))
        assert await again.look() == {key(41): 41}
        assert (again.stale, again.troubles) == (set(), set()), "it remembers the way"
        await again.close()


@pytest.mark.parametrize("lie", ["filter", "order", "filter finds nothing", "order of pages"])
async def test_a_service_that_begins_to_lie_is_captured_in_another_way_and_compared(
    lie: str,
) -> None:
    async with lying() as service:
        capture = CapturedSet(service, "Suites")
        await capture.open()
        service.write("Suites", row(40))
        assert await capture.look() == {key(40): 40}
        service.lies = {lie}
        # In the order of time, which is not that in which the service keeps them.
        service.clock = Ticking(datetime.now(UTC))
        service.write("Suites", *(row(number, qty=number + 1) for number in range(30)))
        for _ in range(5):
            await capture.look(1)
        await capture.close()
        if lie != "order of pages":
            assert any("can't be read by modifiedAt" in text for text in capture.troubles)
            assert any("could not be read until now" in text for text in capture.stale)


async def test_a_way_that_was_not_heeded_is_told_and_tried_again_ever_more_seldom() -> None:
    """The set was listed for good, and `status` said that it was asked by its times of change."""
    now = 0.0
    async with lying("order") as service:
        system = system_of(service, "Suites")
        client = ODataClient(system)
        feed = EntityFeed(
            client, system.tables[0], options_of(system.options), lambda: now, lambda: 1.0
        )
        metadata = await client.metadata()
        await feed.begin(metadata, None)
        assert "because they can't be filtered by their time" in feed.remark
        assert "`$orderby`" in feed.remark

        async def tries(seconds: float, next_page: float = 100) -> int:
            """How often it was tried in so many seconds."""
            nonlocal now
            end, count = now + seconds, 0
            while now < end:
                now += next_page
                service.between.requests.clear()
                while True:
                    await feed.next_page()
                    if not feed.end_page():
                        break
                count += any("ne null" in path for path in service.paths)
            return count

        assert await tries(RETRY_AVOIDED_S - 100) == 0
        assert await tries(100) == 1
        assert await tries(20 * RETRY_AVOIDED_S, 900) == 2, "after 4 times as long, and 16 times"
        service.lies = set()
        restarted = EntityFeed(
            client, system.tables[0], options_of(system.options), lambda: now, lambda: 1.0
        )
        await restarted.begin(metadata, feed.saved(1000))
        assert "its time" not in restarted.remark
        assert "by their time" in restarted.remark, "over a restart too"
        feed = restarted
        stale: list[str] = []
        for _ in range(2):
            now += RETRY_AVOIDED_S
            while True:
                stale += [
                    stale_table.reason
                    for stale_table in (await feed.next_page()).stale
                    if not stale_table.deletes_only
                ]
                if not feed.end_page():
                    break
        assert stale == ["its changes are noticed by changed from now on"]
        assert feed.remark == ""
        assert feed.saved(1000)["means"] == "changed"
        await client.close()


async def test_a_first_row_is_noticed_though_the_service_knows_no_ne_null() -> None:
    async with lying("not null") as service:
        service.sets["Suites"].clear()
        capture = CapturedSet(service, "Suites")
        await capture.open()
        assert await capture.look() == {}
        service.write("Suites", row(1), row(2))
        assert await capture.look() == {key(1): 1, key(2): 2}
        assert any("ge 1900-01-01" in path for path in service.paths)
        await capture.close()


async def test_what_a_set_says_of_its_means_holds_against_a_lie() -> None:
    async with lying("order") as service:
        capture = CapturedSet(service, "Suites", sets={"Suites": {"change_detection": "changed"}})
        with pytest.raises(Exception, match="set `change_detection: listing`"):
            await capture.open()
        await capture.close()


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ([], []),
        (["in"], ["ignores `in`"]),
        (["filter"], ["can't be paged by its key", "ignores `in`", "ignores `$filter`"]),
        (["order"], ["can't be paged by its key: it returns the same row first"]),
        (["key"], ["another row than the one with that key"]),
        (["order", "pages cut"], ["rows would be left out"]),
        (
            ["filter finds nothing"],
            ["can't be paged by its key", "doesn't find an existing row"],
        ),
    ],
)
async def test_check_asks_every_question_once(lies: list[str], words: list[str]) -> None:
    async with lying(*lies) as service:
        findings = await connector.check(system_of(service, "Suites", "Plains"))
        for table in ("Suites", "Plains"):
            about = [finding for finding in findings if f"'{table}'" in finding.what]
            texts = [finding.what for finding in about if "tracks no changes" not in finding.what]
            for word in words:
                assert any(word in text for text in texts), (word, texts)
            assert bool(texts) == bool(words)
            fatal = [finding.what for finding in about if finding.fatal]
            assert bool(fatal) == ("pages cut" in lies)
