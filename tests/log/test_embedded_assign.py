from hypothesis import given
from hypothesis import strategies as st

from bridge.log.embedded.assign import assign

names = st.sampled_from(["a", "b", "c", "d"])
topics = st.sampled_from(["x", "y", "z"])
members = st.dictionaries(names, st.frozensets(topics, min_size=1), min_size=1)
partitions = st.lists(topics, max_size=30).map(lambda names: [*enumerate(names)])
held = st.dictionaries(st.integers(0, 30), names)


@given(members, partitions, held)
def test_every_wanted_partition_has_one_member_that_wants_it(
    who: dict[str, frozenset[str]], what: list[tuple[int, str]], before: dict[int, str]
) -> None:
    target = assign(who, what, before)

    wanted = frozenset().union(*who.values())
    assert target.keys() == {partition_id for partition_id, topic in what if topic in wanted}
    assert all(dict(what)[partition_id] in who[name] for partition_id, name in target.items())


@given(members, partitions, held)
def test_nobody_has_two_more_than_another_that_could_take_one(
    who: dict[str, frozenset[str]], what: list[tuple[int, str]], before: dict[int, str]
) -> None:
    target = assign(who, what, before)

    load = {name: [*target.values()].count(name) for name in who}
    for partition_id, owner in target.items():
        for name, wants in who.items():
            if dict(what)[partition_id] in wants:
                assert load[owner] <= load[name] + 1


@given(members, partitions, held)
def test_an_even_assignment_stays_as_it_is(
    who: dict[str, frozenset[str]], what: list[tuple[int, str]], before: dict[int, str]
) -> None:
    target = assign(who, what, before)

    assert assign(who, what, target) == target


def test_a_new_member_takes_only_its_share() -> None:
    what = [(partition_id, "x") for partition_id in range(6)]
    before = dict.fromkeys(range(3), "a") | dict.fromkeys(range(3, 6), "b")
    everyone = dict.fromkeys("abc", frozenset({"x"}))

    target = assign(everyone, what, before)

    moved = {
        partition_id for partition_id in before if before[partition_id] != target[partition_id]
    }
    assert {target[partition_id] for partition_id in moved} == {"c"}
    assert len(moved) == 2
