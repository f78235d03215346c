"""No claim is ever later than the truth, whatever lags, fails or begins again; and each guard of it
is needed: without it, a claim is.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridge.gateway.freshness.barriers import BarrierTracker, BarrierWait
from bridge.gateway.freshness.doubts import Doubts
from bridge.log.port import TopicPartition
from bridge.model.freshness import Freshness
from bridge.model.system_records import DeadLetter
from tests.example_counts import examples
from tests.gateway.freshness.copied_system import (
    DEAD,
    KEYS,
    PARTITIONS,
    READER_OFFSET,
    SOURCE_OFFSET,
    TICK_S,
    CopiedSystem,
    Kind,
)

KINDS: tuple[Kind, ...] = (*("whole",) * 12, *("partial", "dead") * 4, "keyless", "truncate")
FOLLOWED = (*PARTITIONS["order"], *PARTITIONS["line"], DEAD)
STEPS: dict[str, Callable[[CopiedSystem, Random], Any]] = {
    "append": lambda system, any_: system.append(
        any_.choice(KINDS), any_.choice(list(PARTITIONS)), any_.choice(KEYS)
    ),
    "show": lambda system, any_: system.show(any_.random() < 0.5),
    "capture": lambda system, any_: system.capture(any_.randint(1, 4)),
    "mark": lambda system, any_: system.mark(any_.random() < 0.5),
    "compare": lambda system, _: system.compare(),
    "wait": lambda system, any_: system.wait(any_.choice(list(PARTITIONS))),
    "begin": lambda system, _: system.begin(),
    "write": lambda system, _: system.write_barrier(),
    "positions": lambda system, _: system.read_positions(),
    "watermarks": lambda system, _: system.take_watermarks(),
    "follow": lambda system, any_: system.follow(any_.choice(FOLLOWED)),
    "pause": lambda system, any_: system.pause(any_.choice(list(PARTITIONS))),
    "lose": lambda system, _: system.lose(),
    "restart": lambda system, any_: system.restart(any_.choice(FOLLOWED[:3])),
}
#: What moves everything forward is more frequent than what sets it back.
WEIGHTS = {"follow": 30, "mark": 12, "positions": 12, "show": 8, "pause": 0.3, "lose": 0.15}
WEIGHTS |= {"append": 4, "capture": 6, "restart": 0.2, "compare": 4, "begin": 4, "write": 4}
WEIGHTS |= {"watermarks": 6, "wait": 2}


def walk(system: CopiedSystem, seed: int, steps: int = 1_500) -> CopiedSystem:
    """Random steps; raises AssertionError as soon as a claim is wrong."""
    any_ = Random(seed)  # noqa: S311 - no secret
    names = list(STEPS)
    for name in any_.choices(names, [WEIGHTS[each] for each in names], k=steps):
        system.tick()
        STEPS[name](system, any_)
        system.check()
    return system


class Claims(RuleBasedStateMachine):
    """Every order of the same steps that hypothesis thinks of."""

    def __init__(self) -> None:
        super().__init__()
        self.system = CopiedSystem()

    @rule(name=st.sampled_from(sorted(STEPS)), any_=st.randoms(use_true_random=False))
    def step(self, name: str, any_: Random) -> None:
        self.system.tick()
        STEPS[name](self.system, any_)

    @rule(any_=st.randoms(use_true_random=False), count=st.integers(1, 20))
    def catch_up(self, any_: Random, count: int) -> None:
        """The log's side advances without the source."""
        for _ in range(count):
            self.step(any_.choice(["mark", "positions", "watermarks", "follow", "follow"]), any_)

    @invariant()
    def no_claim_is_later_than_the_truth(self) -> None:
        self.system.check()


TestClaims = Claims.TestCase
TestClaims.settings = settings(max_examples=examples(200), stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("seed", range(20))
def test_claims_hold_in_long_walks(seed: int) -> None:
    walk(CopiedSystem(), seed)


def test_walks_prove_something() -> None:
    """Or the others would show nothing."""
    claims = [walk(CopiedSystem(), seed).claimed for seed in range(20)]
    assert sum(claims) > 1_000
    assert sum(map(bool, claims)) > 10


class AsOfTheCheckpoint(CopiedSystem):
    """`as_of` is when capture wrote the checkpoint, with its clock corrected for good measure."""

    def take_watermarks(self) -> None:
        if self.request is not None:
            at = self.progress.at * TICK_S - SOURCE_OFFSET + READER_OFFSET
            late = self.request.barrier._replace(begun_at=min(at, self.reader_now))
            self.request = self.tracker._request = self.request._replace(barrier=late)
        super().take_watermarks()


class AsOfTheAnswer(CopiedSystem):
    """The clock is read once the barrier has come back."""

    def take_watermarks(self) -> None:
        if self.request is not None:
            late = self.request.barrier._replace(begun_at=self.reader_now)
            self.request = self.tracker._request = self.request._replace(barrier=late)
        super().take_watermarks()


class LastStableOffsets(CopiedSystem):
    def high_watermarks(self) -> dict[TopicPartition, int]:
        return {each: log.stable for each, log in self.partitions.items()}


class WatermarksTakenBefore(CopiedSystem):
    """They are taken when the barrier is begun."""

    early: dict[TopicPartition, int]

    def begin(self) -> None:
        self.early = super().high_watermarks()
        super().begin()

    def high_watermarks(self) -> dict[TopicPartition, int]:
        return self.early


class DoubtsEndAtOnce(CopiedSystem):
    """What was proved before a comparison ended counts after it."""

    def forget(self, entities: frozenset[str]) -> None:
        """Don't."""


class EarlierBarrierCounts(BarrierTracker):
    def wait(self, entity: str) -> BarrierWait:
        wait = super().wait(entity)
        return BarrierWait(entity, wait.number - 1)


class RestartIsIgnored(BarrierTracker):
    def restart(self, partitions: Any) -> None:
        """Don't."""


class FirstPartitionOnly(BarrierTracker):
    def claim(self, entity: str) -> Freshness:
        return self._proofs[PARTITIONS[entity][0]].claim


class NoDoubts(Doubts):
    def claim(self, entity: str, proved: Freshness, key: bytes) -> Freshness | None:
        return proved


class NoEntityDoubts(Doubts):
    def claim(self, entity: str, proved: Freshness, key: bytes) -> Freshness | None:
        return None if key in self._entities[entity].keys else proved


class NoKeyDoubts(Doubts):
    def claim(self, entity: str, proved: Freshness, key: bytes) -> Freshness | None:
        return super().claim(entity, proved, b"")


class NoKeylessDoubts(Doubts):
    def read_dead_letter(self, letter: DeadLetter, held: str = "") -> None:
        if letter.key is not None:
            super().read_dead_letter(letter, held)


class PartialRowsEndDoubts(Doubts):
    def apply_row(self, entity: str, key: bytes, position: str, *, is_whole: bool) -> None:
        super().apply_row(entity, key, position, is_whole=True)


class EarlierRowsEndDoubts(Doubts):
    def apply_row(self, entity: str, key: bytes, position: str, *, is_whole: bool) -> None:
        if is_whole:
            self._entities[entity].keys.pop(key, None)


def with_tracker(tracker: type[BarrierTracker], dead: tuple[TopicPartition, ...] = (DEAD,)) -> Any:
    return lambda: CopiedSystem(lambda: tracker("erp", "me", PARTITIONS, dead))


def with_doubts(doubts: type[Doubts]) -> Any:
    return lambda: CopiedSystem(doubts=lambda: doubts("erp", PARTITIONS))


MUTANTS: dict[str, Callable[[], CopiedSystem]] = {
    "as_of is the checkpoint's `at`": AsOfTheCheckpoint,
    "as_of is when the barrier came back": AsOfTheAnswer,
    "last stable offsets": LastStableOffsets,
    "watermarks taken before the checkpoint was read": WatermarksTakenBefore,
    "what was proved in doubt counts after it": DoubtsEndAtOnce,
    "an earlier barrier counts": with_tracker(EarlierBarrierCounts),
    "a follower that begins again keeps its claim": with_tracker(RestartIsIgnored),
    "one partition stands for all": with_tracker(FirstPartitionOnly),
    "dead letters' partitions left out": with_tracker(BarrierTracker, ()),
    "doubts ignored": with_doubts(NoDoubts),
    "doubts of entities ignored": with_doubts(NoEntityDoubts),
    "doubts of keys ignored": with_doubts(NoKeyDoubts),
    "dead letters without a key ignored": with_doubts(NoKeylessDoubts),
    "a partial row ends a doubt": with_doubts(PartialRowsEndDoubts),
    "an earlier row ends a doubt": with_doubts(EarlierRowsEndDoubts),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_without_a_guard_a_claim_is_wrong(mutant: str) -> None:
    """Within 250 walks; the same ones in each run."""
    for seed in range(250):
        try:
            walk(MUTANTS[mutant](), seed)
        except AssertionError:
            return
    pytest.fail(f"{mutant}: no claim was wrong, so no test needs this guard")
