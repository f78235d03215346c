"""Writes a system file from metadata. Pure: YAML text, every left-out thing named in a comment."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from bridge.model.errors import BridgeError, ConfigurationError
from bridge.model.names import as_name
from bridge.model.types import KEY_TYPES
from connectors.erp.yaml_text import comment_lines, left_out_lines, yaml_scalar
from connectors.odata.draft.commands import command_lines
from connectors.odata.draft.entity import DraftedEntity
from connectors.odata.draft.relations import relation_lines
from connectors.odata.metadata.field_types import drafted_type, field_type
from connectors.odata.metadata.model import EntitySet, ODataService, Property

_WHERE = re.compile(r"\Asystem '[^']*': ")


def draft(
    service: ODataService,
    wanted: Sequence[str] = (),
    refused: Mapping[str, BridgeError] = MappingProxyType({}),
    finer: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> str:
    """The file from `capture:` on; `wanted` entity sets, or none for all, without those that the service
    `refused`. `finer`: by entity set, properties whose times were seen to be finer than microseconds.
    Raises ConfigurationError, or what was refused, where none is left.
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
    lines += command_lines(entities, service)
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
        "# How changes are detected; `bridgectl check` shows it for each entity.",
        "capture:",
        "  poll: 5         # seconds between two polls for changes",
        "  overlap: 30     # seconds: how late a change may become visible, by a time of change",
        "  reconcile: 600  # seconds between two comparisons for deletions, where none are reported",
        "  page: 1000      # rows asked for at a time",
    ]


def _named(sets: dict[str, EntitySet]) -> dict[str, DraftedEntity]:
    entities: dict[str, DraftedEntity] = {}
    names: set[str] = set()
    for key, entity_set in sets.items():
        entity = DraftedEntity(as_name(key, names), entity_set)
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
    entity: DraftedEntity,
    entities: dict[str, DraftedEntity],
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
    yield from relation_lines(entity, entities)


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
    # Several properties form one lock; the time of change represents them all.
    return locks[0] if len(locks) == 1 else of.changed
