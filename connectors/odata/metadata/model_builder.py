"""Makes the model of a service from a document; notes say what can't be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from connectors.odata.metadata.annotations import (
    CAPABILITIES,
    CORE,
    SetAnnotations,
    timestamp_property,
)
from connectors.odata.metadata.field_types import field_type
from connectors.odata.metadata.model import Action, EntitySet, Navigation, ODataService, Property
from connectors.odata.metadata.raw_model import (
    RawModel,
    RawNavigation,
    RawProperty,
    RawSet,
    RawType,
    collection_of,
)

MAX_COMPLEX_DEPTH = 4
"""Depth of complex types up to which properties are flattened."""


def build_service(raw: RawModel) -> ODataService:
    """The service that a document describes."""
    return _ServiceBuilder(raw).service()


class _ServiceBuilder:
    def __init__(self, raw: RawModel) -> None:
        self._raw = raw
        self._types = {**raw.complexes, **raw.entities}
        self._lineages: dict[str, list[RawType]] = {}
        self._left_out: dict[str, str] = {}

    def service(self) -> ODataService:
        raw, sets = self._raw, {}
        for item in raw.sets:
            why = self._unusable(item)
            if why:
                self._left_out[item.name] = why
            else:
                sets[item.name] = self._set(item)
        for name in raw.singletons:
            self._left_out[name] = "a singleton: one object, no set of rows"
        sets = {name: self._known_targets(entity_set, sets) for name, entity_set in sets.items()}
        notes = tuple(f"{name}: {why}" for name, why in self._left_out.items())
        actions = tuple(self._actions(sets))
        return ODataService(raw.version, sets, actions, notes, dict(self._left_out))

    # -- entity sets ----------------------------------------------------------------------

    def _unusable(self, item: RawSet) -> str:
        if item.refused:
            return item.refused
        if item.type not in self._raw.entities:
            return f"its type {item.type} is not in the metadata"
        if not SetAnnotations(self._raw.annotations, item.target).allows(
            "ReadRestrictions", "Readable"
        ):
            return "the service doesn't let it be read"
        key = self._key(item.type)
        if not key:
            return "an entity without a key: its rows can't be distinguished"
        if any("/" in path for path, _ in key):
            return "its key is within a complex property"
        properties = {p.name: self._resolved(p) for p in self._properties(item.type)}
        for path, _ in key:
            p = properties.get(path)
            if p is None or field_type(p, self._raw.version) is None:
                return f"its key {path} has {f'the type {p.edm}' if p else 'no property'}"
        return ""

    def _lineage(self, type_name: str) -> list[RawType]:
        """A type and what it is derived from, the root first."""
        lineage = self._lineages.get(type_name)
        if lineage is not None:
            return lineage
        types: list[RawType] = []
        base = type_name
        while base in self._types and all(raw_type.name != base for raw_type in types):
            types.insert(0, self._types[base])
            base = self._types[base].base
        self._lineages[type_name] = types
        return types

    def _key(self, type_name: str) -> list[tuple[str, str]]:
        return next((raw_type.key for raw_type in self._lineage(type_name) if raw_type.key), [])

    def _properties(self, type_name: str) -> Iterator[RawProperty]:
        for raw_type in self._lineage(type_name):
            yield from raw_type.properties

    def _set(self, item: RawSet) -> EntitySet:
        annotations = SetAnnotations(self._raw.annotations, item.target)
        lineage = self._lineage(item.type)
        types = [raw_type.name for raw_type in lineage]
        properties = dict(self._flat(item.name, item.type))
        if any(raw_type.has_stream for raw_type in lineage):
            self._left_out[f"{item.name}/$value"] = "a media stream, which the log can't hold"
        return EntitySet(
            item.name,
            item.type,
            tuple(path for path, _ in self._key(item.type)),
            properties,
            {
                nav.name: self._navigation(item, nav)
                for raw_type in lineage
                for nav in raw_type.navigations
            },
            concurrency=self._locks(item, annotations),
            delta=annotations.supports("ChangeTracking"),
            changed=timestamp_property(properties, self._raw.annotations, types),
            created=timestamp_property(properties, self._raw.annotations, types, created=True),
            creatable=annotations.allows("InsertRestrictions", "Insertable"),
            updatable=annotations.allows("UpdateRestrictions", "Updatable"),
            deletable=annotations.allows("DeleteRestrictions", "Deletable"),
            filterable=annotations.allows("FilterRestrictions", "Filterable"),
            sortable=annotations.allows("SortRestrictions", "Sortable"),
            countable=annotations.allows("CountRestrictions", "Countable"),
            toppable=annotations.allows("TopSupported"),
            unfilterable=frozenset(
                [
                    *annotations.paths(
                        CAPABILITIES + "FilterRestrictions", "NonFilterableProperties"
                    ),
                    *(p.name for p in self._properties(item.type) if not p.filterable),
                ]
            ),
            uncomparable=frozenset(
                [
                    *annotations.equal_only(),
                    *(p.name for p in self._properties(item.type) if not p.comparable),
                ]
            ),
            unsortable=frozenset(
                [
                    *annotations.paths(CAPABILITIES + "SortRestrictions", "NonSortableProperties"),
                    *annotations.paths(
                        CAPABILITIES + "SortRestrictions", "DescendingOnlyProperties"
                    ),
                    *(p.name for p in self._properties(item.type) if not p.sortable),
                ]
            ),
            required_filters=tuple(
                dict.fromkeys(
                    [
                        *annotations.required_filters(),
                        *(p.name for p in self._properties(item.type) if p.required_in_filter),
                    ]
                )
            ),
        )

    def _locks(self, item: RawSet, annotations: SetAnnotations) -> tuple[str, ...]:
        """The properties that make up the ETag; an empty name means the whole row."""
        listed = annotations.term(CORE + "OptimisticConcurrency")
        if isinstance(listed, list):
            return tuple(str(path) for path in listed) or ("",)
        if listed is True:
            return ("",)
        return tuple(p.name for p in self._properties(item.type) if p.concurrency)

    # -- properties -----------------------------------------------------------------------

    def _resolved(self, p: RawProperty) -> Property:
        """A property with its type definition and enumeration looked up."""
        definition = self._raw.definitions.get(p.type)
        if definition is not None:
            p = replace(
                p,
                type=definition.type,
                max_length=p.max_length or definition.max_length,
                precision=p.precision or definition.precision,
                scale=p.scale if p.scale not in (None, -1) else definition.scale,
            )
        enum = p.type if p.type in self._raw.enums else ""
        return Property(
            p.name,
            "Edm.String" if enum else p.type,
            p.nullable,
            p.max_length,
            p.precision,
            p.scale,
            p.collection,
            enum=enum,
            date_only=p.date_only and p.type == "Edm.DateTime",
        )

    def _flat(
        self, where: str, type_name: str, path: str = "", depth: int = 0, nullable: bool = False
    ) -> Iterator[tuple[str, Property]]:
        """Properties that the log can hold, those of complex ones by their path."""
        for raw in self._properties(type_name):
            p = self._resolved(raw)
            name = f"{path}{p.name}"
            if p.edm in self._raw.complexes and not p.collection and depth < MAX_COMPLEX_DEPTH:
                yield from self._flat(where, p.edm, f"{name}/", depth + 1, nullable or p.nullable)
            elif field_type(p, self._raw.version) is None:
                self._left_out[f"{where}/{name}"] = self._why(p)
            else:
                yield name, replace(p, name=name, nullable=nullable or p.nullable)

    def _why(self, p: Property) -> str:
        if p.collection:
            return f"a collection (of {p.edm}), which is no field"
        if p.edm == "Edm.Stream":
            return "a stream (Edm.Stream), which the log can't hold"
        if p.edm in self._raw.complexes:
            return f"complex types more than {MAX_COMPLEX_DEPTH} deep"
        return f"the type {p.edm}, which the log doesn't support"

    # -- relations and actions ------------------------------------------------------------

    def _navigation(self, item: RawSet, nav: RawNavigation) -> Navigation:
        target = nav.targets.get(item.name, "") or item.bindings.get(nav.name, "")
        if not target and self._raw.version == "v2":
            # Without an association set: the one set that has rows of that type.
            fitting = [raw_set.name for raw_set in self._raw.sets if raw_set.type == nav.type]
            target = fitting[0] if len(fitting) == 1 else ""
        by = nav.by
        if not by:
            by = tuple((to, own) for own, to in self._partner(item, nav))
        return Navigation(nav.name, target.rpartition("/")[2], nav.many, by)

    def _partner(self, item: RawSet, nav: RawNavigation) -> tuple[tuple[str, str], ...]:
        """The partner's constraint, which inverted is this one's."""
        types = {raw_type.name for raw_type in self._lineage(item.type)}
        for raw_type in self._lineage(nav.type):
            for back in raw_type.navigations:
                named = back.name == nav.partner or (back.partner == nav.name and not nav.partner)
                if named and back.type in types and back.by:
                    return back.by
        return ()

    def _known_targets(self, entity_set: EntitySet, sets: dict[str, EntitySet]) -> EntitySet:
        navigations = {
            name: nav if nav.target in sets else replace(nav, target="")
            for name, nav in entity_set.navigations.items()
        }
        return replace(entity_set, navigations=navigations)

    def _actions(self, sets: dict[str, EntitySet]) -> Iterator[Action]:
        roots = {operation: name for name, operation in self._raw.imports.items()}
        #: Entity sets by the types that their rows are of.
        of_type: dict[str, list[EntitySet]] = {}
        for item in sets.values():
            for kind in self._lineage(item.type):
                of_type.setdefault(kind.name, []).append(item)
        for operation in self._raw.operations:
            parameters = tuple(self._resolved(p) for p in operation.parameters)
            if not operation.binding:
                if operation.name in roots:
                    about = _about(
                        of_type.get(operation.about, []), sets.get(operation.answers), parameters
                    )
                    yield Action(
                        roots[operation.name], None, operation.is_function, parameters, operation.returns,
                        method=operation.method, about=about,
                    )  # fmt: skip
                continue
            bound, _ = collection_of(operation.binding)
            for item in of_type.get(bound, []):
                yield Action(
                    operation.name, item.name, operation.is_function, parameters, operation.returns,
                    operation.binding_many, operation.method,
                )  # fmt: skip


def _about(
    declared: Sequence[EntitySet], answers: EntitySet | None, parameters: Sequence[Property]
) -> str:
    """The entity set whose row the parameters name: what V2's function import is declared for, else
    the set that it answers from.
    """
    parameter_names = {p.name for p in parameters}
    likely = declared or ([answers] if answers else [])
    fitting = [
        entity_set.name for entity_set in likely if parameter_names.issuperset(entity_set.key)
    ]
    return fitting[0] if len(fitting) == 1 else ""
