"""Relations of a drafted system file: from the metadata, or suggested by their names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bridge.model.names import as_name
from connectors.erp.yaml_text import comment_lines
from connectors.odata.draft.entity import DraftedEntity
from connectors.odata.metadata.model import EntitySet, Navigation, Property


def relation_lines(entity: DraftedEntity, entities: dict[str, DraftedEntity]) -> Iterator[str]:
    candidates = [
        (nav, *_relation(entity, nav, entities)) for nav in entity.set.navigations.values()
    ]
    if candidates:
        yield (
            "    relations:"
            if any(declaration for _, declaration, _ in candidates)
            else "    # relations:"
        )
    taken: set[str] = set()
    for nav, declaration, why in candidates:
        guess = "" if declaration else _suggested(entity, nav, entities)
        if declaration or guess:
            name = as_name(nav.name, taken)
            taken.add(name)
            hint = "  # by their names alone: uncomment it where it is right" if guess else ""
            yield f"      {'# ' if guess else ''}{name}: {declaration or guess}{hint}"
        else:
            yield from comment_lines(f"{nav.name}: left out, {why}", 6)


def _suggested(entity: DraftedEntity, nav: Navigation, entities: dict[str, DraftedEntity]) -> str:
    """A relation that the metadata don't describe (SAP's V2 services name no constraints), if the names
    on both sides suggest it: the key of one and the other's property; "" otherwise.
    """
    to = entities.get(nav.target)
    if to is None or nav.by:
        return ""
    owner, holder = (entity, to) if nav.many else (to, entity)
    if len(owner.set.key) != 1:
        return ""
    [key] = owner.set.key
    p = _referring(holder.set, owner.set.properties[key], nav)
    if p is None:
        return ""
    by = ((key, p.name),) if nav.many else ((p.name, key),)
    declaration, _ = _relation(entity, replace(nav, by=by), entities)
    return declaration


def _referring(holder: EntitySet, key: Property, nav: Navigation) -> Property | None:
    """The property that is called like a key that it holds: `Customer_ID`, `SalesOrder`. The set's own
    whole key isn't: of two sets whose keys are both called `ID` none leads to the other.
    """
    role, name = nav.name.lower().removeprefix("to_"), key.name.lower()
    names = [name] if nav.many else [f"{role}_{name}", f"{role}{name}", name, role]
    by_name = {
        p.name.lower(): p
        for p in holder.properties.values()
        if p.edm == key.edm and holder.key != (p.name,)
    }
    return next((by_name[each] for each in names if each in by_name), None)


def _relation(
    entity: DraftedEntity, nav: Navigation, entities: dict[str, DraftedEntity]
) -> tuple[str, str]:
    """The relation's declaration, or why it is left out."""
    to = entities.get(nav.target)
    if to is None:
        where = f"{nav.target} is not declared here" if nav.target else "it leads to no entity set"
        return "", where
    if len(nav.by) != 1:
        return (
            "",
            "it uses several fields" if nav.by else "the metadata don't say by which property",
        )
    ((own, other),) = nav.by
    if nav.many:
        if entity.set.key == (own,) and other in to.fields:
            return f"{{entity: {to.name}, by: {to.fields[other]}}}", ""
        return "", f"{to.name} doesn't hold the whole key of {entity.name}"
    if to.set.key == (other,) and own in entity.fields:
        return f"{{entity: {to.name}, from: {entity.fields[own]}}}", ""
    return "", f"{entity.name} doesn't hold the whole key of {to.name}"
