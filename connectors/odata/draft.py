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
    chosen = {name: one for name, one in service.sets.items() if not wanted or name in wanted}
    why = {name: _bad_key(one, service) for name, one in chosen.items()}
    why |= {name: f"it can't be read: {_brief(error)}" for name, error in refused.items()}
    entities = _named({name: one for name, one in chosen.items() if not why[name]})
    why |= {name: said for name, said in service.left_out.items() if "/" not in name}
    told = {name: said for name, said in why.items() if said and (not wanted or name in wanted)}
    if not entities:
        raise next(iter(refused.values()), None) or _nothing(told)
    notes = _notes(service)
    lines = [*_capture(), "", "entities:"]
    for one in entities.values():
        fine = finer.get(one.set.name, ())
        lines += _entity(one, entities, service, notes.get(one.set.name, {}), fine)
    lines += left_out_lines(told)
    lines += _commands(entities, service)
    return "\n".join(lines) + "\n"


def _brief(error: BridgeError) -> str:
    """An error without the system's name, which stands in the file's first line."""
    return _WHERE.sub("", str(error))


def _nothing(told: Mapping[str, str]) -> ConfigurationError:
    some = "; ".join(f"{name}: {said}" for name, said in itertools.islice(told.items(), 5))
    more = f"; and {len(told) - 5} more" if len(told) > 5 else ""
    return ConfigurationError(
        "the service has no entity set that can be captured"
        + (f" ({some}{more})" if told else ": its metadata lists none")
    )


def _notes(service: ODataService) -> dict[str, dict[str, str]]:
    """What was left out of each entity set."""
    found: dict[str, dict[str, str]] = {}
    for name, why in service.left_out.items():
        of, slash, part = name.partition("/")
        if slash:
            found.setdefault(of, {})[part] = why
    return found


def _capture() -> list[str]:
    return [
        "# How changes are noticed; `bridgectl check` says how for each entity.",
        "capture:",
        "  poll: 5         # seconds between two looks for changes",
        "  overlap: 30     # seconds: how late a change may become visible, by a time of change",
        "  reconcile: 600  # seconds between two looks for deletions, where none are told",
        "  page: 1000      # rows asked for at a time",
    ]


def _named(sets: dict[str, EntitySet]) -> dict[str, _DraftedEntity]:
    found: dict[str, _DraftedEntity] = {}
    names: set[str] = set()
    for key, one in sets.items():
        entity = _DraftedEntity(as_name(key, names), one)
        names.add(entity.name)
        fields: set[str] = set()
        for name in one.properties:
            entity.fields[name] = as_name(name, fields)
            fields.add(entity.fields[name])
        found[key] = entity
    return found


def _bad_key(one: EntitySet, service: ODataService) -> str:
    for name in one.key:
        kind = field_type(one.properties[name], service.version)
        if kind is None or kind.name not in KEY_TYPES:
            return f"its key {name} is a {kind}, which can't be a key in the log"
    return ""


def _entity(
    one: _DraftedEntity,
    entities: dict[str, _DraftedEntity],
    service: ODataService,
    left_out: Mapping[str, str],
    finer: Collection[str],
) -> Iterator[str]:
    of = one.set
    yield f"  {one.name}:"
    yield f"    from: {yaml_scalar(of.name)}"
    yield f"    key: [{', '.join(one.fields[name] for name in of.key)}]"
    yield "    fields:"
    for name, given in one.fields.items():
        yield f"      {given}: {_field(of.properties[name], service, finer=name in finer)}"
    for name, why in left_out.items():
        yield from comment_lines(f"{name}: left out, {why}", 6)
    version = _version(of)
    if version:
        yield f"    version: {one.fields[version]}"
    yield from _relations(one, entities)


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


def _relations(one: _DraftedEntity, entities: dict[str, _DraftedEntity]) -> Iterator[str]:
    found = [(nav, *_relation(one, nav, entities)) for nav in one.set.navigations.values()]
    if found:
        yield "    relations:" if any(said for _, said, _ in found) else "    # relations:"
    taken: set[str] = set()
    for nav, said, why in found:
        guess = "" if said else _suggested(one, nav, entities)
        if said or guess:
            name = as_name(nav.name, taken)
            taken.add(name)
            hint = "  # by their names alone: uncomment it where it is right" if guess else ""
            yield f"      {'# ' if guess else ''}{name}: {said or guess}{hint}"
        else:
            yield from comment_lines(f"{nav.name}: left out, {why}", 6)


def _suggested(one: _DraftedEntity, nav: Navigation, entities: dict[str, _DraftedEntity]) -> str:
    """A relation that the metadata doesn't tell (SAP's V2 services name no constraints), where the names
    of both sides do: the key of the one that there is once, and the other's property; "" otherwise.
    """
    to = entities.get(nav.target)
    if to is None or nav.by:
        return ""
    owner, holder = (one, to) if nav.many else (to, one)
    if len(owner.set.key) != 1:
        return ""
    [key] = owner.set.key
    found = _referring(holder.set, owner.set.properties[key], nav)
    if found is None:
        return ""
    by = ((key, found.name),) if nav.many else ((found.name, key),)
    said, _ = _relation(one, replace(nav, by=by), entities)
    return said


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
    one: _DraftedEntity, nav: Navigation, entities: dict[str, _DraftedEntity]
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
        if one.set.key == (own,) and other in to.fields:
            return f"{{entity: {to.name}, by: {to.fields[other]}}}", ""
        return "", f"{to.name} doesn't hold the whole key of {one.name}"
    if to.set.key == (other,) and own in one.fields:
        return f"{{entity: {to.name}, from: {one.fields[own]}}}", ""
    return "", f"{one.name} doesn't hold the whole key of {to.name}"


def _commands(entities: dict[str, _DraftedEntity], service: ODataService) -> Iterator[str]:
    usable = [one for one in service.actions if not one.is_function and not one.bound_many]
    usable = [one for one in usable if one.bound_to is None or one.bound_to in entities]
    if not usable or not entities:
        return
    yield from commands_heading()
    names: set[str] = set()
    for one in usable:
        yield from _command(one, entities, service, names)


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
    for given, p in args.items():
        yield f"#       {given}: {_argument(p, service)}"
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
    known: dict[str, str] = {}
    if about is not None and not action.bound_to:
        # V2 names the row by parameters that are called like its key.
        for name in about.set.key:
            known[name] = ":key" if len(about.set.key) == 1 else f":key_{about.fields[name]}"
    args: dict[str, Property] = {}
    values, unknown = [], []
    for p in action.parameters:
        if p.name in known:
            values.append(f"{p.name}={known[p.name]}")
        elif field_type(p, service.version) is None:
            unknown.append(f"{p.name} ({p.edm})")
        else:
            given = as_name(p.name, args)
            if given in {"id", "key"} or given.startswith("key_"):
                # These names are the command's own.
                given = as_name(f"its {p.name}", args)
            args[given] = p
            values.append(f"{p.name}=:{given}")
    return ", ".join(values), args, unknown


def _key(about: _DraftedEntity) -> str:
    if len(about.set.key) == 1:
        return ":key"
    return ", ".join(f"{name}=:key_{about.fields[name]}" for name in about.set.key)


def _argument(p: Property, service: ODataService) -> str:
    kind = field_type(p, service.version)
    said = [f"type: {json.dumps(str(kind))}"]
    if p.max_length and kind is not None and kind.name == "string":
        said.append(f"max_length: {p.max_length}")
    if p.nullable:
        said.append("required: false")
    return f"{{{', '.join(said)}}}"
