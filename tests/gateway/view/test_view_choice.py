"""Which entities a view holds: those that are asked for, and what fits."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.gateway.view.view_choice import OfferedEntity, choose_entities

BIG, SMALL = OfferedEntity("big", "auto", 1_000_000), OfferedEntity("small", "auto", 1_000)


def choose(*entities: OfferedEntity, view_bytes: int = 10**9, **can: Any) -> Any:
    capabilities = {"is_captured": True, "every_change": True, **can}
    return choose_entities(entities, view_bytes, **capabilities)


def test_everything_that_fits_is_held() -> None:
    assert choose(BIG, SMALL) == (("big", "small"), {})


def test_the_smallest_are_held_first_and_the_others_say_what_is_left() -> None:
    choice = choose(BIG, SMALL, view_bytes=200_000_000)
    assert choice.held == ("small",)
    assert choice.left_out == {
        "big": "its topic has 1000000 records, about 250 MB, and 200 MB of the system's `view_bytes` "
        "are left"
    }


def test_an_entity_that_is_asked_for_comes_before_the_others_and_whatever_its_size() -> None:
    wanted = BIG._replace(view="yes")
    choice = choose(SMALL, wanted, view_bytes=200_000_000)
    assert choice.held == ("big",)
    assert set(choice.left_out) == {"small"}


def test_an_entity_can_be_left_out() -> None:
    assert choose(SMALL._replace(view="no")) == ((), {"small": "it has `view: no`"})


@pytest.mark.parametrize("view", ["auto", "yes"])
@pytest.mark.parametrize("capability", ["is_captured", "every_change"])
def test_what_is_not_captured_with_every_change_is_never_held(view: Any, capability: str) -> None:
    choice = choose(SMALL._replace(view=view), **{capability: False})
    assert choice.held == ()
    assert "its connector doesn't" in choice.left_out["small"]
