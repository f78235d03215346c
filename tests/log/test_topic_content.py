"""What a topic holds is known by its name."""

from __future__ import annotations

import pytest

from bridge.log.topic_content import belongs_to_bridge, topic_content


@pytest.mark.parametrize(
    ("topic", "content"),
    [
        ("acme.erp.sales_order", "changes"),
        ("acme.erp.gone", "other"),
        ("acme.commands", "commands"),
        ("_acme.positions", "internal"),
        ("elsewhere.x", "other"),
    ],
)
def test_the_name_says_what_a_topic_holds(topic: str, content: str) -> None:
    assert topic_content("acme", topic, {"erp.sales_order"}) == content


@pytest.mark.parametrize(
    ("topic", "belongs"),
    [
        ("acme.commands", True),
        ("_acme.status", True),
        ("acme2.commands", False),
        ("x.acme.y", False),
    ],
)
def test_a_bridges_topics_begin_with_its_name(topic: str, *, belongs: bool) -> None:
    assert belongs_to_bridge("acme", topic) is belongs
