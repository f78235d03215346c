"""A row that is still held is read again only where the order of reads says that the copy answers."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from collections import deque
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bridge.agent.errors import NotFound
from bridge.gateway.cache.cache_state import CacheState, ReadAnswer
from bridge.gateway.cache.change_effect import EntityChange
from bridge.gateway.cache.entry import Fill, RowEntry, Scope
from bridge.gateway.freshness.read_order import decide
from bridge.gateway.freshness.read_request import ReadRequest
from bridge.model.avro import change_schema, schema_text
from bridge.model.freshness import NEVER, NO_POSITION, Freshness, bound_of
from bridge.model.provenance import Provenance, TracedRow
from bridge.model.read_demands import ReadDemands
from bridge.model.types import Entity, Field, FieldType
from bridge.plan.lazy_record import Decoder, LazyRow
from bridge.ports.held_entry import EntityClaim, HeldSource
from tests.agent.held_rows_forms import FORMS, IDS, INTERPRETED
from tests.example_counts import examples
from tests.gateway.cache.oracle_database import VisibleNumbers

SCOPE = Scope("", "capture")
NAME = "erp.order"
NOW = 1_000.0
by_form = pytest.mark.parametrize("form", FORMS, ids=IDS)


def entry_of(key: Any = 1, payload: bytes | None = b"row") -> RowEntry:
    return RowEntry(str(key).encode(), payload, Fill("order", SCOPE, None, 0.0))


def claimed(position: str = "p5", as_of: float = NOW) -> EntityClaim:
    claim = EntityClaim()
    claim.claim = Freshness("erp", 1, position, as_of)
    return claim


class Held:
    """HeldRows over one entity.

    entry: of row 1, which is kept.
    """

    def __init__(self, form: ModuleType, claim: EntityClaim | None = None, **more: Any) -> None:
        self.claim = claim or claimed()
        self.hits: deque[RowEntry] = deque()
        self.counters: list[Any] = []
        source = HeldSource("erp", self.claim, 5.0, self.hits, self.counters)
        self.now = NOW
        self.rows = form.HeldRows({NAME: source}.get, lambda: self.now, **more)
        self.entry = entry_of()
        self.rows.keep(NAME, 1, "row 1", self.entry, 0)

    @property
    def served(self) -> int:
        return sum(each.served for each in self.counters)

    def row(self, key: Any = 1, staleness: Any = None, system: str = "", position: str = "") -> Any:
        return self.rows.row(NAME, key, staleness, system, position)


@by_form
@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(
    claim=st.none()
    | st.builds(
        Freshness,
        st.just("erp"),
        st.just(1),
        st.sampled_from([NO_POSITION, "p1", "p5"]),
        st.sampled_from([NEVER, NOW - 7, NOW - 5, NOW - 1, NOW, NOW + 1]),
    ),
    is_held=st.booleans(),
    staleness=st.sampled_from([None, 0, 0.5, 5, 6.0, float("inf")]),
    event=st.sampled_from([("", ""), ("erp", "p1"), ("erp", "p5"), ("erp", "p6"), ("crm", "p6")]),
)
@example(claim=None, is_held=True, staleness=float("inf"), event=("", ""))
def test_it_answers_where_the_order_of_reads_lets_the_copy_answer(
    form: ModuleType,
    claim: Freshness | None,
    is_held: bool,
    staleness: float | None,
    event: tuple[str, str],
) -> None:
    held = Held(form)
    held.claim.claim = claim
    if not is_held:
        held.entry.visited = None
    system, event_position = event
    bound = bound_of(
        NOW,
        5.0 if staleness is None else staleness,
        event_position if system == "erp" else NO_POSITION,
    )
    decision = decide(ReadRequest(bound, NOW), claim, NOW, is_held=is_held, has_barriers=True)
    for _ in range(2):
        row = held.row(1, staleness, system, event_position)
        assert (row == "row 1") == (decision.answer == "copy")
        assert row in {None, "row 1"}
    assert held.served == (2 if decision.answer == "copy" else 0)


@by_form
def test_what_one_claim_contains_another_may_not(form: ModuleType) -> None:
    held = Held(form)
    position = "p5"
    for claimed_position, row in (("p5", "row 1"), ("p1", None), ("p6", "row 1")):
        held.claim.claim = Freshness("erp", 1, claimed_position, NOW)
        assert held.row(1, None, "crm", position) == "row 1"
        assert held.row(1, None, "erp", position) == row
        assert held.row(1, None, "erp", position) == row


@by_form
@pytest.mark.parametrize("staleness", [-1, float("nan"), True, "5", -0.1])
def test_a_staleness_that_is_invalid_is_left_to_the_bridge(
    form: ModuleType, staleness: Any
) -> None:
    assert Held(form).row(1, staleness) is None


@by_form
def test_keys_are_of_their_type(form: ModuleType) -> None:
    held = Held(form)
    for key in (True, 1.0, "1", (1,), 2):
        assert held.row(key) is None
    held.rows.keep(NAME, True, "row True", entry_of(), 0)
    held.rows.keep(NAME, {"id": 1}, "a row", entry_of(), 0)
    assert held.row() == "row 1"
    assert held.rows.row("erp.other", 1, None, "", "") is None


@by_form
def test_what_came_from_elsewhere_may_be_newer_than_what_is_held(form: ModuleType) -> None:
    held = Held(form)
    answers = held.rows.answers(NAME)
    held.rows.keep(NAME, 1, "newer", None, answers)
    assert held.row() is None
    # Of a read that was begun before: in which order the bridge answered, nobody knows.
    held.rows.keep(NAME, 1, "row 1", held.entry, answers)
    assert held.row() is None
    held.rows.keep(NAME, 1, "row 1", held.entry, held.rows.answers(NAME))
    assert held.row() == "row 1"
    held.rows.forget(NAME)
    assert held.row() is None
    assert held.rows.held_bytes == 0


@by_form
def test_a_row_that_is_held_nowhere_is_not_kept(form: ModuleType) -> None:
    held = Held(form)
    held.rows.keep("erp.other", 1, "row", entry_of(), 0)
    held.rows.keep(NAME, 2, None, entry_of(2, None), 0)
    held.rows.forget("erp.third")
    assert held.rows.row("erp.other", 1, None, "", "") is None
    assert held.row(2) is None


@by_form
def test_hits_are_told_to_who_holds_the_entry(form: ModuleType) -> None:
    held = Held(form)
    held.row()
    assert list(held.hits) == [held.entry]
    assert held.entry.visited is False
    held.entry.visited = True
    held.row()
    assert len(held.hits) == 1


def test_hits_keep_an_entry_from_being_evicted() -> None:
    state = CacheState(SCOPE, reports_visibility=True, allowance=0.0)
    state.hits.extend([held := entry_of(), dropped := entry_of(2)])
    dropped.visited = None
    fill(state, b"3", b"row")
    assert (held.visited, dropped.visited, len(state.hits)) == (True, None, 0)


def fill(state: CacheState, key: bytes, payload: bytes) -> None:
    read = state.begin_read(0.0)
    answer = ReadAnswer(read, VisibleNumbers(frozenset(), ()), 0.0)
    state.fill(answer, SCOPE, "order", [(key, payload)])
    state.end_read(read, answer)


@dataclass
class ChangingClaim:
    """A change is applied, and claimed, between the claim and whatever is read next, or before."""

    held: Any
    is_before: bool = False

    @property
    def claim(self) -> Freshness:
        if self.is_before:
            self.held.visited = None
            return Freshness("erp", 1, "p6", NOW)
        self.is_before = True
        return Freshness("erp", 1, "p5", NOW)


def test_the_claim_is_read_before_the_entry() -> None:
    """The other way round, a row that was held when it was looked at would go with a claim that covers
    the change of it.
    """
    entry = entry_of()
    claim: Any = ChangingClaim(entry, is_before=True)
    rows = INTERPRETED.HeldRows({NAME: HeldSource("erp", claim, 5.0, deque(), [])}.get, lambda: NOW)
    rows.keep(NAME, 1, "before the change", entry, 0)
    assert rows.row(NAME, 1, None, "", "") is None


@by_form
def test_no_row_is_older_than_a_claim_that_was_published_before_it_was_read(
    form: ModuleType,
) -> None:
    """Changes are applied in one thread, as the bridge does, while another reads."""
    state = CacheState(SCOPE, reports_visibility=True, allowance=0.0)
    keys = [b"%d" % key for key in range(4)]
    for key in keys:
        fill(state, key, b"0")
    claim = claimed("p0", NOW)
    published = dict.fromkeys(keys, 0)
    rows = form.HeldRows({NAME: HeldSource("erp", claim, 5.0, state.hits, [])}.get, lambda: NOW)
    is_over = threading.Event()

    def write() -> None:
        for number in range(1, 8_001):
            key = keys[number % len(keys)]
            state.apply(EntityChange("order", key, b"%d" % number, {}, number, 0.0))
            claim.claim = Freshness("erp", 1, f"p{number:08}", NOW)
            published[key] = number
            if not number % 50:
                read = state.begin_read(0.0)
                seen = VisibleNumbers(frozenset(range(number + 1)), ())
                state.end_read(read, ReadAnswer(read, seen, 0.0))
        is_over.set()

    writer = threading.Thread(target=write)
    writer.start()
    hits = reads = 0
    while not is_over.is_set() or reads < 1_000:
        reads += 1
        key = keys[reads % len(keys)]
        number = published[key]
        row = rows.row(NAME, key.decode(), None, "", "")
        if row is not None:
            hits += 1
            assert int(row) >= number
        entry = state.table(SCOPE, "order").get(key)
        if entry is not None:
            payload = entry.payload
            rows.keep(NAME, key.decode(), payload, entry, rows.answers(NAME))
    writer.join()
    assert hits > 100


ORDER = Entity(
    "erp",
    "order",
    ("id",),
    (Field("id", FieldType("integer")), *(Field(f"f{at}", FieldType("string")) for at in range(9))),
)


@by_form
def test_what_is_kept_is_bounded_by_bytes_that_it_really_takes(form: ModuleType) -> None:
    decoder = Decoder(schema_text(change_schema(ORDER)), ORDER)
    held = Held(form, max_bytes=200_000)
    provenance = Provenance(NAME, "test", None)  # type: ignore[arg-type]
    held.rows.forget(NAME)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for key in range(1_000, 2_000):
            avro = b"\xd0\x0f" + 9 * b"\x02\x02a"
            row = TracedRow(decoder.row(avro), provenance, ORDER)
            held.rows.keep(NAME, key, row, entry_of(key, bytes(5) + avro), 1)
            del row
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 100 < held.rows.held_bytes / 900 < 223
    assert taken <= held.rows.held_bytes <= 200_000
    assert held.row(1_000) is None
    assert isinstance(held.row(1_999)._row, LazyRow)
    held.rows.keep(NAME, 5, "large", entry_of(5, bytes(300_000)), 1)
    assert held.row(5) is None


class BridgeReading:
    """Answers by key, and notes the demands."""

    def __init__(self, **rows: Any) -> None:
        self.rows = rows
        self.demands: list[ReadDemands] = []

    async def get(self, entity: str, key: Any, demands: ReadDemands) -> Any:
        self.demands.append(demands)
        return self.rows.get(str(key))


@by_form
def test_a_context_reads_what_is_held_and_else_asks_the_bridge(form: ModuleType) -> None:
    class Reads(form.KeyedReads):  # type: ignore[misc, name-defined]
        def _demands(self, *demands: Any) -> ReadDemands:
            return ReadDemands(*demands[:4])

    held = Held(form)
    bridge = BridgeReading(x="row x", **{"1": "asked"})
    reads = Reads(bridge, held.rows, "erp", "p5")

    async def run() -> None:
        assert await asyncio.create_task(reads.get(NAME, 1)) == "row 1"
        assert await reads.get(NAME, 1, max_staleness=1) == "row 1"
        assert bridge.demands == []
        assert await reads.get(NAME, "x") == "row x"
        for demands in ({"fresh": True}, {"after": "p1"}, {"deadline": 1.0}):
            assert await reads.get(NAME, 1, **demands) == "asked"
        assert bridge.demands == [
            ReadDemands(), ReadDemands(fresh=True), ReadDemands(after="p1"), ReadDemands(deadline=1.0),
        ]  # fmt: skip
        with pytest.raises(NotFound):
            await reads.get(NAME, 3)
        assert await Reads(bridge, None, "erp", "p5").get(NAME, 1) == "asked"
        assert await Reads(bridge, held.rows, "erp", "p6").get(NAME, 1) == "asked"

    asyncio.run(run())
