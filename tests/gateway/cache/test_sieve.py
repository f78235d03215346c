"""SIEVE keeps within its bytes, drops what wasn't hit, and beats LRU where scans pass by."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from itertools import accumulate

from hypothesis import given as over
from hypothesis import strategies as st

from bridge.gateway.cache.sieve import Sieve


class Page:
    """A cached object of some size."""

    __slots__ = ("name", "size", "visited")

    def __init__(self, name: int, size: int = 1) -> None:
        self.name = name
        self.size = size
        self.visited: bool | None = False


class PageCache:
    """Pages by name."""

    def __init__(self, max_bytes: int) -> None:
        self.pages: dict[int, Page] = {}
        self.sieve: Sieve[Page] = Sieve(max_bytes, lambda page: page.size, self._evicted)

    def hit(self, name: int, size: int = 1) -> bool:
        page = self.pages.get(name)
        if page is not None:
            page.visited = True
            return True
        page = Page(name, size)
        if self.sieve.insert(page):
            self.pages[name] = page
        return False

    def _evicted(self, page: Page) -> None:
        del self.pages[page.name]


class PaperSieve:
    """The algorithm as the paper prints it, over a plain list whose head is its end."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.queue: list[list[int]] = []
        self.hand: list[int] | None = None

    def hit(self, name: int) -> bool:
        for page in self.queue:
            if page[0] == name:
                page[1] = 1
                return True
        if len(self.queue) == self.size:
            at = self.queue.index(self.hand) if self.hand is not None else 0
            while self.queue[at][1]:
                self.queue[at][1] = 0
                at = (at + 1) % len(self.queue)
            # Past the head it is nowhere, and begins at the tail again.
            self.hand = self.queue[at + 1] if at + 1 < len(self.queue) else None
            del self.queue[at]
        self.queue.append([name, 0])
        return False


def zipf_with_scans(rng: random.Random, reads: int, objects: int) -> Iterator[int]:
    """Zipf 0.8, and every now and then a run over objects that nobody asks for again."""
    weights = list(accumulate(1 / rank**0.8 for rank in range(1, objects + 1)))
    scanned = objects
    for at in range(reads):
        yield bisect_left(weights, rng.random() * weights[-1])
        if at % 2_000 == 0:
            yield from range(scanned, scanned + 400)
            scanned += 400


def lru_hits(reads: list[int], size: int) -> int:
    held: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for name in reads:
        if name in held:
            hits += 1
            held.move_to_end(name)
            continue
        if len(held) == size:
            held.popitem(last=False)
        held[name] = None
    return hits


def test_it_beats_lru_under_a_zipf_distribution_with_scans() -> None:
    """The design's figures: LRU .356, SIEVE .445; a ratio of 1.25."""
    rng = random.Random(11)  # noqa: S311 - reads, no secrets
    reads = list(zipf_with_scans(rng, 60_000, 10_000))
    cache = PageCache(500)
    hits = sum(cache.hit(name) for name in reads)
    assert hits > 1.15 * lru_hits(reads, 500)


@over(st.integers(0, 2**32))
def test_it_holds_what_the_algorithm_of_the_paper_holds(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - reads, no secrets
    cache, paper = PageCache(5), PaperSieve(5)
    for _ in range(300):
        name = rng.randrange(12)
        assert cache.hit(name) == paper.hit(name)
    assert set(cache.pages) == {page[0] for page in paper.queue}


@over(
    st.lists(
        st.tuples(st.sampled_from(["hit", "remove"]), st.integers(0, 9), st.integers(1, 60)),
        max_size=300,
    )
)
def test_bytes_are_those_of_what_is_held_and_below_the_bound(
    steps: list[tuple[str, int, int]],
) -> None:
    cache = PageCache(50)
    for step, name, size in steps:
        if step == "hit":
            cache.hit(name, size)
        elif name in cache.pages:
            cache.sieve.remove(cache.pages.pop(name))
        assert cache.sieve.held_bytes == sum(page.size for page in cache.pages.values()) <= 50
        assert len(cache.sieve) == len(cache.pages)


def test_what_was_removed_takes_no_memory_for_long() -> None:
    cache = PageCache(1_000_000)
    for name in range(10_000):
        cache.hit(name)
        cache.sieve.remove(cache.pages.pop(name))
    assert len(cache.sieve._queue) < 200


def test_the_hand_stays_where_it_is_when_the_queue_is_compacted() -> None:
    cache = PageCache(300)
    for name in range(300):
        cache.hit(name)
    for name in range(100):
        cache.hit(name)
    cache.hit(300)  # the hand passes the hundred that were visited and evicts 100
    for name in [*range(50), *range(150, 300)]:
        cache.sieve.remove(cache.pages.pop(name))
    for name in range(1_000, 1_000 + 200):
        cache.hit(name)
    cache.hit(2_000)
    assert 101 not in cache.pages
    assert 50 in cache.pages


def test_what_is_larger_than_the_bound_evicts_nothing() -> None:
    cache = PageCache(10)
    cache.hit(1, 5)
    cache.hit(2, 11)
    assert set(cache.pages) == {1}
