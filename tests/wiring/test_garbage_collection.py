"""Python's cycle collector while a bridge runs."""

import gc
from collections.abc import Iterator

import pytest

from bridge.wiring import garbage_collection


@pytest.fixture
def usual() -> Iterator[None]:
    """Python's own thresholds, whatever a test left behind."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("usual")
def test_collections_are_seldom_inside_and_as_before_afterwards() -> None:
    with garbage_collection.collect_garbage_rarely():
        assert gc.get_threshold()[0] == garbage_collection.YOUNG_THRESHOLD
        assert gc.get_freeze_count() > 0
        with garbage_collection.collect_garbage_rarely():
            assert gc.get_threshold()[0] == garbage_collection.YOUNG_THRESHOLD
        assert gc.get_threshold()[0] == garbage_collection.YOUNG_THRESHOLD
    assert gc.get_threshold() == (700, 10, 10)
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("usual")
def test_whoever_switched_collections_off_keeps_them_off() -> None:
    gc.set_threshold(0)
    with garbage_collection.collect_garbage_rarely():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold()[0] == 0
