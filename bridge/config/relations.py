"""Relations of a system file: their specs, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.config.document import Document, KeyPath
from bridge.config.models import EntityModel, RelationFields, RelationModel, SystemModel
from bridge.config.problems import Problem
from bridge.model.types import Relation


def relation_spec(name: str, model: RelationModel) -> Relation:
    """The relation as declared: of one field by its name, of several as a tuple."""
    by, by_on = _aligned(model.by)
    start, start_on = _aligned(model.from_)
    return Relation(name, model.entity, by=by, from_field=start, on=by_on or start_on)


def _aligned(fields: RelationFields) -> tuple[str | tuple[str, ...], tuple[str, ...]]:
    """The fields, and those with which they are aligned (empty: the key's)."""
    if isinstance(fields, dict):
        return tuple(fields), tuple(fields.values())
    if isinstance(fields, list):
        return tuple(fields), ()
    return fields or "", ()


def relation_problems(
    document: Document, where: KeyPath, entity: EntityModel, model: SystemModel
) -> Iterator[Problem]:
    """Relations without a direction, to unknown entities, or by fields that don't exist or fit."""
    for name, relation in entity.relations.items():
        here: KeyPath = (*where, "relations", name)
        if bool(relation.by) == bool(relation.from_):
            yield document.problem(
                here,
                f"relation {name!r} needs either by: or from:",
                "by: for to-many (a field there), from: for to-one (a field here)",
            )
        other = model.entities.get(relation.entity)
        if other is None:
            yield document.problem(
                (*here, "entity"),
                f"relation {name!r} leads to {relation.entity!r}, which is not declared",
                f"entities are {', '.join(model.entities)}",
            )
            continue
        spec = relation_spec(name, relation)
        side = "by" if relation.by else "from"
        of_other, of_own = spec.by_fields, (*spec.from_fields, *(spec.on if relation.by else ()))
        for field in of_other:
            if other.fields and field not in other.fields:
                yield document.problem(
                    (*here, "by"), f"{field!r} is not a field of {relation.entity!r}"
                )
        for field in of_own:
            if entity.fields and field not in entity.fields:
                yield document.problem((*here, side), f"{field!r} is not a field here")
        yield from _key_problems(document, (*here, side), spec, entity, other)


def _key_problems(
    document: Document, where: KeyPath, spec: Relation, entity: EntityModel, other: EntityModel
) -> Iterator[Problem]:
    """Several fields that don't fit a declared key."""
    fields = spec.by_fields or spec.from_fields
    key, owner = (entity.key, "this entity") if spec.by else (other.key, repr(spec.entity))
    if len(fields) < 2 or not key:
        return
    fits = (
        sorted(spec.on) == sorted(key)
        if spec.from_field and spec.on
        else (bool(spec.on) or len(fields) == len(key))
    )
    if not fits:
        yield document.problem(
            where,
            f"relation {spec.name!r} has the fields {', '.join(fields)}, and the key of {owner} has "
            f"{', '.join(key)}",
            "list as many fields as the key has, in its order, or write FIELD: KEY_FIELD for each",
        )
