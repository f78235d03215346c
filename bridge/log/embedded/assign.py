"""Which member of a group should have which partition. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def assign(
    members: Mapping[str, frozenset[str]],
    partitions: Iterable[tuple[int, str]],
    held: Mapping[int, str],
) -> dict[int, str]:
    """Assign each partition (id, topic) to a member that subscribes to its topic, evenly.

    Partitions stay with the member that has them (`held`) as far as that is even: no member has two
    more than another that could have taken one of them.
    """
    target: dict[int, str] = {}
    load = dict.fromkeys(sorted(members), 0)
    homeless: list[tuple[int, str]] = []
    topics = sorted(partitions)
    for partition_id, topic in topics:
        owner = held.get(partition_id)
        if owner is not None and topic in members.get(owner, ()):
            target[partition_id] = owner
            load[owner] += 1
        else:
            homeless.append((partition_id, topic))
    wanting = {
        topic: [name for name in load if topic in members[name]] for topic in {t for _, t in topics}
    }
    for partition_id, topic in homeless:
        if wanting[topic]:
            least = min(wanting[topic], key=load.__getitem__)
            target[partition_id] = least
            load[least] += 1
    moved = True
    while moved:
        moved = False
        for partition_id, topic in topics:
            if partition_id not in target:
                continue
            owner = target[partition_id]
            least = min(wanting[topic], key=load.__getitem__)
            if load[owner] > load[least] + 1:
                target[partition_id] = least
                load[owner] -= 1
                load[least] += 1
                moved = True
    return target
