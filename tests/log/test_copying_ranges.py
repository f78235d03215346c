"""The order in which a topic is copied: pure."""

from hypothesis import given
from hypothesis import strategies as st

from bridge.log.copying.ranges import Range, is_behind, next_limit, ranges


def test_without_groups_each_partition_is_one_range() -> None:
    assert ranges({0: (0, 10), 1: (5, 9), 2: (3, 3)}, {}) == [
        Range(0, 0, 10, frozenset()),
        Range(1, 5, 9, frozenset()),
    ]


def test_what_every_group_has_handled_comes_first() -> None:
    commits = {"a": {0: 4, 1: 0}, "b": {0: 10, 1: 3}}
    assert ranges({0: (0, 10), 1: (0, 5)}, commits) == [
        Range(0, 0, 4, frozenset()),
        Range(0, 4, 10, frozenset({"a"})),
        Range(1, 0, 3, frozenset({"a"})),
        Range(1, 3, 5, frozenset({"a", "b"})),
    ]


def test_a_group_is_behind_when_it_has_not_handled_what_was_copied_before() -> None:
    assert not is_behind({0: (5, 9), 1: (0, 9)}, {0: 5, 1: 0})
    assert is_behind({0: (5, 9), 1: (0, 9)}, {0: 4, 1: 9})


def test_batches_grow_while_records_are_small_and_shrink_when_they_are_large() -> None:
    assert next_limit(1_000, 500, 500) == 1_000
    assert next_limit(2_000_000, 500, 500) == 500
    assert next_limit(9_000_000, 10, 500) == 250
    assert next_limit(50_000_000, 10, 10) == 10
    assert next_limit(1, 1, 5_000) == 5_000


spans = st.dictionaries(
    st.integers(0, 3),
    st.tuples(st.integers(0, 20), st.integers(0, 20)).map(lambda pair: (min(pair), max(pair))),
    min_size=1,
)


@given(spans, st.data())
def test_every_offset_is_copied_once_in_order_and_groups_handled_all_or_nothing(
    given_spans: dict[int, tuple[int, int]], data: st.DataObject
) -> None:
    commits = data.draw(
        st.dictionaries(
            st.sampled_from("abc"),
            st.fixed_dictionaries({number: st.integers(0, 25) for number in given_spans}),
        )
    )

    parts = ranges(given_spans, commits)

    for number, (start, stop) in given_spans.items():
        mine = [
            at for each in parts if each.partition == number for at in range(each.start, each.stop)
        ]
        assert mine == list(range(start, stop))
    for each in parts:
        for group, committed in commits.items():
            waiting = [at >= committed[each.partition] for at in range(each.start, each.stop)]
            assert waiting == [group in each.waiting] * len(waiting)


@given(spans, st.data())
def test_where_groups_follow_each_other_none_gets_anything_twice(
    given_spans: dict[int, tuple[int, int]], data: st.DataObject
) -> None:
    ahead = {number: data.draw(st.integers(*span)) for number, span in given_spans.items()}
    behind = {number: data.draw(st.integers(0, at)) for number, at in ahead.items()}

    parts = ranges(given_spans, {"ahead": ahead, "behind": behind})

    for group in ("ahead", "behind"):
        handled = [group in each.waiting for each in parts]
        assert handled == sorted(handled), "what it has handled is copied before what it has not"
