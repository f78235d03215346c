"""Relations of a system file: of one field, of several, and of fields with their counterparts."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.config.document import Document
from bridge.config.models import SystemModel
from bridge.config.relations import relation_problems, relation_spec
from bridge.model.types import Relation


def system(relation: dict[str, Any]) -> SystemModel:
    return SystemModel.model_validate(
        {
            "system": "erp",
            "connector": "postgres",
            "url": "postgresql://db/erp",
            "entities": {
                "order": {
                    "from": "orders",
                    "key": ["company", "no"],
                    "fields": {"company": "c", "no": "n", "customer": "k"},
                    "relations": {"other": {"entity": "other", **relation}},
                },
                "other": {
                    "from": "others",
                    "key": ["id", "firm"],
                    "fields": {"id": "i", "firm": "f", "text": "t"},
                },
            },
        }
    )


@pytest.mark.parametrize(
    ("relation", "spec"),
    [
        ({"by": "id"}, Relation("other", "other", by="id")),
        ({"from": "no"}, Relation("other", "other", from_field="no")),
        ({"by": ["firm", "id"]}, Relation("other", "other", by=("firm", "id"))),
        (
            {"by": {"id": "no", "firm": "company"}},
            Relation("other", "other", by=("id", "firm"), on=("no", "company")),
        ),
        ({"from": ["no", "company"]}, Relation("other", "other", from_field=("no", "company"))),
        (
            {"from": {"company": "firm", "customer": "id"}},
            Relation("other", "other", from_field=("company", "customer"), on=("firm", "id")),
        ),
    ],
    ids=str,
)
def test_a_relation_is_of_one_field_or_of_several(relation: dict[str, Any], spec: Relation) -> None:
    model = system(relation)
    entity = model.entities["order"]
    assert relation_spec("other", entity.relations["other"]) == spec
    assert list(relation_problems(Document("erp.yaml", {}), (), entity, model)) == []


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ({}, "needs either by: or from:"),
        ({"by": "id", "from": "no"}, "needs either by: or from:"),
        ({"by": ["firm", "lost"]}, "'lost' is not a field of 'other'"),
        ({"by": {"firm": "lost"}}, "'lost' is not a field here"),
        ({"from": ["no", "lost"]}, "'lost' is not a field here"),
        ({"by": ["firm", "id", "text"]}, "the key of this entity has company, no"),
        ({"from": ["no", "company", "customer"]}, "the key of 'other' has id, firm"),
        ({"from": {"no": "id", "company": "text"}}, "the key of 'other' has id, firm"),
        ({"from": {"no": "id", "company": "id"}}, "the key of 'other' has id, firm"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(relation: dict[str, Any], message: str) -> None:
    model = system(relation)
    problems = relation_problems(Document("erp.yaml", {}), (), model.entities["order"], model)
    assert message in " | ".join(problem.what for problem in problems)
