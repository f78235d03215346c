"""Which entity or topic a name stands for that a person has written."""

from __future__ import annotations

import pytest

from bridge.model.entity_names import qualify_entity, topics_of_name

ENTITIES = ("erp.order", "erp.customer", "crm.customer")


@pytest.mark.parametrize(("name", "entity"), [("erp.order", "erp.order"), ("order", "erp.order")])
def test_an_entitys_own_name_will_do_where_one_system_has_it(name: str, entity: str) -> None:
    assert qualify_entity(ENTITIES, name) == entity


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("customer", "an entity of several systems: erp.customer, crm.customer"),
        ("item", "there is no entity 'item'; entities are erp.order"),
    ],
)
def test_what_stands_for_none_or_several_says_what_there_is(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        qualify_entity(ENTITIES, name)


@pytest.mark.parametrize(
    ("name", "topics"),
    [
        ("erp.order", ["acme.erp.order"]),
        ("order", ["acme.erp.order"]),
        ("erp", ["acme.erp.order", "acme.erp.customer"]),
        ("commands", ["acme.commands"]),
        ("elsewhere", ["elsewhere"]),
    ],
)
def test_a_name_stands_for_topics(name: str, topics: list[str]) -> None:
    assert topics_of_name("acme", name, ENTITIES, {"elsewhere"}) == topics


def test_a_name_that_stands_for_no_topic_says_where_they_are_listed() -> None:
    with pytest.raises(ValueError, match="log topics"):
        topics_of_name("acme", "nothing", ENTITIES, ())
