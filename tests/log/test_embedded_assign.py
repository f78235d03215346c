from hypothesis import given
from hypothesis import strategies as some

from bridge.log.embedded.assign import assign

names = some.sampled_from(["a", "b", "c", "d"])
topics = some.sampled_from(["x", "y", "z"])
members = some.dictionaries(names, some.frozensets(topics, min_size=1), min_size=1)
partitions = some.lists(topics, max_size=30).map(lambda made: [*enumerate(made)])
held = some.dictionaries(some.integers(0, 30), names)


@given(members, partitions, held)
def test_every_wanted_partition_has_one_member_that_wants_it(
    who: dict[str, frozenset[str]], what: list[tuple[int, str]], before: dict[int, str]
) -> None:
    target = assign(who, what, before)

    wanted = frozenset().union(*who.values())
    assert target.keys() == {place for place, topic in what if topic in wanted}
    assert all(dict(what)[place] in who[name] for place, name in target.items())


@given(members, partitions, held)
def test_nobody_has_two_more_than_another_that_could_take_one(
    who: dict[str, frozenset[str]], what: list[tuple[int, str]], before: dict[int, str]
) -> None:
    target = assign(who, what, before)

    load = {name: [*target.values()].count(name) for name in who}
    for place, owner in target.items():
        for name, wants in who.items():
            if dict(what)[place] in wants:
                assert load[owner] <= load[name] + 1


@given(members, partitions, held)
def test_an_even_assignment_stays_as_it_is(
    who: dict[str, frozenset[str]], what: list[tuple[int, str]], before: dict[int, str]
) -> None:
    target = assign(who, what, before)

    assert assign(who, what, target) == target


def test_a_new_member_takes_only_its_share() -> None:
    what = [(place, "x") for place in range(6)]
    before = dict.fromkeys(range(3), "a") | dict.fromkeys(range(3, 6), "b")
    everyone = dict.fromkeys("abc", frozenset({"x"}))

    target = assign(everyone, what, before)

    moved = {place for place in before if before[place] != target[place]}
    assert {target[place] for place in moved} == {"c"}
    assert len(moved) == 2
