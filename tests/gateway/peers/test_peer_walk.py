"""Whatever peers answer is of a state that the read allows; each guard of that is needed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.gateway.peers import peers
from bridge.gateway.peers.latest_reads import LatestReads
from bridge.gateway.peers.peer_group import PeerAnswer, RelationReads
from bridge.gateway.peers.peers import Peers
from tests.gateway.peers.peer_walk import WrongAnswer, walk

WALKS = 50
MUTANT_WALKS = 600


def walk_on() -> None:
    """Many of them, one after the other."""
    for seed in range(MUTANT_WALKS):
        walk(seed)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_every_answer_is_of_a_state_that_the_read_allows(seed: int) -> None:
    walk(seed)


def test_walks_are_answered_by_peers() -> None:
    """Or they would show nothing."""
    assert sum(walk(seed).served for seed in range(WALKS)) > WALKS


def any_age(reads: RelationReads, key: Any, oldest: float) -> Any:
    return reads.answers.get(key)


def since_ever(*_: Any) -> float:
    return float("-inf")


def even_fresh(peers: Any, demands: Any) -> bool:
    return serves(peers, demands._replace(fresh=False))


def even_unwanted(peers: Any, demands: Any) -> bool:
    return serves(peers, demands._replace(peers=True))


def always(*_: Any) -> bool:
    return True


def nothing(*_: Any) -> None:
    pass


def as_of_the_end(rows: Any, asked_at: float, ended_at: float, cause: Any) -> PeerAnswer:
    return PeerAnswer(rows, ended_at, ended_at, cause)


serves = Peers.serves
MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "answers of any age": (RelationReads, "answer", any_age),
    "older than the attempt": (Peers, "_is_of_cause", staticmethod(always)),
    "older than max_staleness": (Peers, "_oldest", since_ever),
    "fresh=True ignored": (Peers, "serves", even_fresh),
    "peers=False ignored": (Peers, "serves", even_unwanted),
    "what was seen ignored": (LatestReads, "allows", always),
    "live reads not noted": (Peers, "note", nothing),
    "asked when answered": (peers, "PeerAnswer", as_of_the_end),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_each_guard_is_needed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, mutant = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, mutant)
    with pytest.raises(WrongAnswer):
        walk_on()
