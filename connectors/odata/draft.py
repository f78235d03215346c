"""Writes a systems file from metadata. Pure: YAML text, every left-out thing named in a comment."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bridge.model.errors import BridgeError, ConfigurationError
from bridge.model.names import as_name
from bridge.model.types import KEY_TYPES
from connectors.erp.yaml_text import commands_heading, comment_lines, left_out_lines, yaml_scalar
from connectors.odata.metadata.field_types import drafted_type, field_type
from connectors.odata.metadata.model import Action, EntitySet, Navigation, ODataService, Property

_WHERE = re.compile(r"\Asystem '[^']*': ")


@dataclass(slots=True)
class _DraftedEntity:
    """An entity set under the names that it gets."""

    name: str
    set: EntitySet
    fields: dict[str, str] = field(default_factory=dict)


def draft(
    service: ODataService,
    wanted: Sequence[str] = (),
    refused: Mapping[str, BridgeError] = MappingProxyType({}),
    finer: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> str:
    """The file from `capture:` on; `wanted` entity sets, or none for all, without those that the
    service `refused` to have read. `finer`: by entity set, properties whose times were seen to be finer
    than microseconds. Raises ConfigurationError, or what was refused, where none is left.
    """
    chosen = {name: entity for name, entity in service.sets.items() if not wanted or name in wanted}
    why = {name: _bad_key(entity, service) for name, entity in chosen.items()}
    why |= {name: f"it can't be read: {_brief(error)}" for name, error in refused.items()}
    entities = _named({name: entity for name, entity in chosen.items() if not why[name]})
    why |= {name: reason for name, reason in service.left_out.items() if "/" not in name}
    left_out = {
        name: reason for name, reason in why.items() if reason and (not wanted or name in wanted)
    }
    if not entities:
        raise next(iter(refused.values()), None) or _nothing(left_out)
    notes = _notes(service)
    lines = [*_capture(), "", "entities:"]
    for entity in entities.values():
        fine = finer.get(entity.set.name, ())
        lines += _entity(entity, entities, service, notes.get(entity.set.name, {}), fine)
    lines += left_out_lines(left_out)
    lines += _commands(entities, service)
    return "\n".join(lines) + "\n"


def _brief(error: BridgeError) -> str:
    """An error without the system's name, which is in the file's first line."""
    return _WHERE.sub("", str(error))


def _nothing(left_out: Mapping[str, str]) -> ConfigurationError:
    examples = "; ".join(
        f"{name}: {reason}" for name, reason in itertools.islice(left_out.items(), 5)
    )
    more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    return ConfigurationError(
        "the service has no entity set that can be captured"
        + (f" ({examples}{more})" if left_out else ": its metadata lists none")
    )


def _notes(service: ODataService) -> dict[str, dict[str, str]]:
    """What was left out of each entity set."""
    notes: dict[str, dict[str, str]] = {}
    for name, why in service.left_out.items():
        of, slash, part = name.partition("/")
        if slash:
            notes.setdefault(of, {})[part] = why
    return notes


def _capture() -> list[str]:
    return [
        "# How changes are noticed; `bridgectl check` says how for each entity.",
        "capture:",
        "  poll: 5         # seconds between two polls for changes",
        "  overlap: 30     # seconds: how late a change may become visible, by a time of change",
        "  reconcile: 600  # seconds between two comparisons for deletions, where none are reported",
        "  page: 1000      # rows asked for at a time",
    ]


def _named(sets: dict[str, EntitySet]) -> dict[str, _DraftedEntity]:
    entities: dict[str, _DraftedEntity] = {}
    names: set[str] = set()
    for key, entity_set in sets.items():
        entity = _DraftedEntity(as_name(key, names), entity_set)
        names.add(entity.name)
        fields: set[str] = set()
        for name in entity_set.properties:
            entity.fields[name] = as_name(name, fields)
            fields.add(entity.fields[name])
        entities[key] = entity
    return entities


def _bad_key(entity_set: EntitySet, service: ODataService) -> str:
    for name in entity_set.key:
        kind = field_type(entity_set.properties[name], service.version)
        if kind is None or kind.name not in KEY_TYPES:
            return f"its key {name} is a {kind}, which can't be a key in the log"
    return ""


def _entity(
    entity: _DraftedEntity,
    entities: dict[str, _DraftedEntity],
    service: ODataService,
    left_out: Mapping[str, str],
    finer: Collection[str],
) -> Iterator[str]:
    of = entity.set
    yield f"  {entity.name}:"
    yield f"    from: {yaml_scalar(of.name)}"
    yield f"    key: [{', '.join(entity.fields[name] for name in of.key)}]"
    yield "    fields:"
    for name, field_name in entity.fields.items():
        yield f"      {field_name}: {_field(of.properties[name], service, finer=name in finer)}"
    for name, why in left_out.items():
        yield from comment_lines(f"{name}: left out, {why}", 6)
    version = _version(of)
    if version:
        yield f"    version: {entity.fields[version]}"
    yield from _relations(entity, entities)


def _field(p: Property, service: ODataService, *, finer: bool) -> str:
    kind = str(drafted_type(p, service.version, finer=finer))
    quoted = json.dumps(kind) if "(" in kind else kind
    size = f"({p.max_length})" if p.max_length else ""
    why = ""
    if finer:
        why = ", finer than microseconds: its exact text"
    elif kind == "string" and p.edm == "Edm.Decimal":
        why = f", of {'any' if p.scale == -1 else 'no declared'} scale: its exact text"
    return f"{{from: {yaml_scalar(p.name)}, type: {quoted}}}  # {p.enum or p.edm}{size}{why}"


def _version(of: EntitySet) -> str | None:
    locks = [name for name in of.concurrency if name in of.properties and name not in of.key]
    # Several properties make one lock together; the time of change stands for them all.
    return locks[0] if len(locks) == 1 else of.changed


def _relations(entity: _DraftedEntity, entities: dict[str, _DraftedEntity]) -> Iterator[str]:
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


def _suggested(entity: _DraftedEntity, nav: Navigation, entities: dict[str, _DraftedEntity]) -> str:
    """A relation that the metadata doesn't tell (SAP's V2 services name no constraints), where the names
    of both sides do: the key of the one that there is once, and the other's property; "" otherwise.
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
    entity: _DraftedEntity, nav: Navigation, entities: dict[str, _DraftedEntity]
) -> tuple[str, str]:
    """What the relation is declared as, or why it is left out."""
    to = entities.get(nav.target)
    if to is None:
        where = f"{nav.target} is not declared here" if nav.target else "it leads to no entity set"
        return "", where
    if len(nav.by) != 1:
        return "", "it goes by several fields" if nav.by else "the metadata doesn't say by what"
    ((own, other),) = nav.by
    if nav.many:
        if entity.set.key == (own,) and other in to.fields:
            return f"{{entity: {to.name}, by: {to.fields[other]}}}", ""
        return "", f"{to.name} doesn't hold the whole key of {entity.name}"
    if to.set.key == (other,) and own in entity.fields:
        return f"{{entity: {to.name}, from: {entity.fields[own]}}}", ""
    return "", f"{entity.name} doesn't hold the whole key of {to.name}"


def _commands(entities: dict[str, _DraftedEntity], service: ODataService) -> Iterator[str]:
    usable = [
        action for action in service.actions if not action.is_function and not action.bound_many
    ]
    usable = [action for action in usable if action.bound_to is None or action.bound_to in entities]
    if not usable or not entities:
        return
    yield from commands_heading()
    names: set[str] = set()
    for action in usable:
        yield from _command(action, entities, service, names)


def _command(
    action: Action, entities: dict[str, _DraftedEntity], service: ODataService, names: set[str]
) -> Iterator[str]:
    last = action.name.rpartition(".")[2]
    about = entities.get(action.bound_to or action.about)
    name = as_name(f"{last}_{about.name}" if action.bound_to and about else last, names)
    names.add(name)
    yield f"#   {name}:"
    if about is not None:
        yield f"#     entity: {about.name}"
    else:
        yield f"#     entity: {next(iter(entities.values())).name}  # the entity that it is about"
    values, args, unknown = _values(action, about, service)
    if args:
        yield "#     args:"
    for argument, p in args.items():
        yield f"#       {argument}: {_argument(p, service)}"
    if unknown:
        yield f"#     # without {', '.join(unknown)}: of types that no argument has"
    where = ""
    if about is not None and action.bound_to:
        where = f"{about.set.name}({_key(about)})/"
    yield f"#     run: {json.dumps(f'CALL {where}{action.name} {values}'.rstrip())}"


def _values(
    action: Action, about: _DraftedEntity | None, service: ODataService
) -> tuple[str, dict[str, Property], list[str]]:
    """What the statement gives, what of it are arguments, and what no argument can be."""
    key_values: dict[str, str] = {}
    if about is not None and not action.bound_to:
        # V2 names the row by parameters that are called like its key.
        for name in about.set.key:
            key_values[name] = ":key" if len(about.set.key) == 1 else f":key_{about.fields[name]}"
    args: dict[str, Property] = {}
    values, unknown = [], []
    for p in action.parameters:
        if p.name in key_values:
            values.append(f"{p.name}={key_values[p.name]}")
        elif field_type(p, service.version) is None:
            unknown.append(f"{p.name} ({p.edm})")
        else:
            argument = as_name(p.name, args)
            if argument in {"id", "key"} or argument.startswith("key_"):
                # These names are the command's own.
                argument = as_name(f"its {p.name}", args)
            args[argument] = p
            values.append(f"{p.name}=:{argument}")
    return ", ".join(values), args, unknown


def _key(about: _DraftedEntity) -> str:
    if len(about.set.key) == 1:
        return ":key"
    return ", ".join(f"{name}=:key_{about.fields[name]}" for name in about.set.key)


def _argument(p: Property, service: ODataService) -> str:
    kind = field_type(p, service.version)
    options = [f"type: {json.dumps(str(kind))}"]
    if p.max_length and kind is not None and kind.name == "string":
        options.append(f"max_length: {p.max_length}")
    if p.nullable:
        options.append("required: false")
    return f"{{{', '.join(options)}}}"
