"""V2's metadata (EDMX 1.0), with SAP's annotations. V3's is refused before
(`connectors.odata.metadata.csdl_xml`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

from connectors.odata.metadata.raw_model import (
    NamespaceAliases,
    RawModel,
    RawNavigation,
    RawOperation,
    RawProperty,
    RawSet,
    RawType,
    collection_of,
)
from connectors.odata.metadata.xml_elements import (
    attributes,
    children,
    facet_number,
    facet_scale,
    local_name,
)

_CAPABILITIES = "Org.OData.Capabilities.V1."
#: SAP's attributes of entity sets, and the V4 annotations that say the same.
_RESTRICTIONS = {
    "sap:creatable": ("InsertRestrictions", "Insertable"),
    "sap:updatable": ("UpdateRestrictions", "Updatable"),
    "sap:deletable": ("DeleteRestrictions", "Deletable"),
    "sap:filterable": ("FilterRestrictions", "Filterable"),
    "sap:sortable": ("SortRestrictions", "Sortable"),
    "sap:countable": ("CountRestrictions", "Countable"),
    "sap:topable": ("TopSupported", ""),
}
_TYPES = {"Edm.Float": "Edm.Double"}
"""Types of SAP's services that the standard doesn't have, and their standard types."""
_EQUAL_ONLY = frozenset({"single-value", "multi-value"})


@dataclass(slots=True)
class _Association:
    """Ends by role: type and multiplicity. `pairs`: (principal's property, dependent's)."""

    ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    principal: str = ""
    pairs: tuple[tuple[str, str], ...] = ()


def read_edmx(root: Element) -> RawModel:
    """The document."""
    model, names = RawModel("v2"), NamespaceAliases()
    schemas = [
        s for services in children(root, "DataServices") for s in children(services, "Schema")
    ]
    for schema in schemas:
        names.alias(schema.get("Alias"), schema.get("Namespace", ""))
    reading = _EdmxReader(model, names)
    for schema in schemas:
        reading.associations_of(schema)
    for schema in schemas:
        reading.schema(schema)
    return model


class _EdmxReader:
    """Reads schemas into the model; associations of all of them must be known first."""

    def __init__(self, model: RawModel, names: NamespaceAliases) -> None:
        self._model = model
        self._names = names
        self._associations: dict[str, _Association] = {}
        #: By association and role: the sets at the other ends, by own set.
        self._sets: dict[tuple[str, str], dict[str, str]] = {}

    def associations_of(self, schema: Element) -> None:
        space = schema.get("Namespace", "")
        for item in children(schema, "Association"):
            association = self._associations[f"{space}.{item.get('Name', '')}"] = _Association()
            for end in children(item, "End"):
                kind = self._names.whole(end.get("Type", ""))
                association.ends[end.get("Role", "")] = (kind, end.get("Multiplicity", ""))
            for constraint in children(item, "ReferentialConstraint"):
                refs: dict[str, list[str]] = {"Principal": [], "Dependent": []}
                for side in children(constraint, "Principal", "Dependent"):
                    refs[local_name(side)] = [
                        r.get("Name", "") for r in children(side, "PropertyRef")
                    ]
                    if local_name(side) == "Principal":
                        association.principal = side.get("Role", "")
                association.pairs = tuple(zip(refs["Principal"], refs["Dependent"], strict=False))
        for container in children(schema, "EntityContainer"):
            for item in children(container, "AssociationSet"):
                self._association_set(item)

    def _association_set(self, item: Element) -> None:
        ends = {end.get("Role", ""): end.get("EntitySet", "") for end in children(item, "End")}
        name = self._names.whole(item.get("Association", ""))
        for role, own in ends.items():
            for other, target in ends.items():
                if other != role:
                    self._sets.setdefault((name, role), {})[own] = target

    def schema(self, schema: Element) -> None:
        space = schema.get("Namespace", "")
        for item in children(schema, "EntityType"):
            name = f"{space}.{item.get('Name', '')}"
            self._model.entities[name] = self._type(item, name)
        for item in children(schema, "ComplexType"):
            name = f"{space}.{item.get('Name', '')}"
            self._model.complexes[name] = self._type(item, name)
        for item in children(schema, "EnumType"):
            self._model.enums.add(f"{space}.{item.get('Name', '')}")
        for container in children(schema, "EntityContainer"):
            self._container(container, f"{space}.{container.get('Name', '')}")

    def _property(self, element: Element) -> RawProperty:
        own = attributes(element)
        kind, collection = collection_of(self._names.whole(own.get("Type", "Edm.String")))
        return RawProperty(
            own.get("Name", ""),
            _TYPES.get(kind, kind),
            collection=collection or own.get("CollectionKind", "None") != "None",
            nullable=own.get("Nullable", "true") != "false",
            max_length=facet_number(own.get("MaxLength")),
            precision=facet_number(own.get("Precision")),
            scale=facet_scale(own.get("Scale")),
            concurrency=own.get("ConcurrencyMode") == "Fixed",
            filterable=own.get("sap:filterable", "true") != "false",
            comparable=own.get("sap:filter-restriction", "") not in _EQUAL_ONLY,
            sortable=own.get("sap:sortable", "true") != "false",
            required_in_filter=own.get("sap:required-in-filter") == "true",
            date_only=own.get("sap:display-format") == "Date",
        )

    def _type(self, element: Element, name: str) -> RawType:
        raw_type = RawType(name, self._names.whole(element.get("BaseType", "")))
        raw_type.has_stream = attributes(element).get("m:HasStream") == "true"
        for key in children(element, "Key"):
            raw_type.key = [(ref.get("Name", ""), "") for ref in children(key, "PropertyRef")]
        raw_type.properties = [self._property(item) for item in children(element, "Property")]
        for item in children(element, "NavigationProperty"):
            raw_type.navigations.append(self._navigation(item))
        return raw_type

    def _navigation(self, item: Element) -> RawNavigation:
        name = self._names.whole(item.get("Relationship", ""))
        to, own = item.get("ToRole", ""), item.get("FromRole", "")
        association = self._associations.get(name, _Association())
        kind, multiplicity = association.ends.get(to, ("", ""))
        pairs = association.pairs
        by = pairs if association.principal == own else tuple((d, p) for p, d in pairs)
        return RawNavigation(
            item.get("Name", ""),
            kind,
            multiplicity == "*",
            by=by,
            targets=self._sets.get((name, own), {}),
        )

    def _container(self, container: Element, name: str) -> None:
        for item in children(container, "EntitySet"):
            own = attributes(item)
            target = f"{name}/{own.get('Name', '')}"
            raw_set = RawSet(
                own.get("Name", ""), self._names.whole(own.get("EntityType", "")), target
            )
            if own.get("sap:addressable") == "false":
                raw_set.refused = "it can only be read through another entity set (sap:addressable)"
            self._model.sets.append(raw_set)
            for attribute, (term, part) in _RESTRICTIONS.items():
                if own.get(attribute) == "false":
                    self._restrict(target, term, {part: False} if part else False)
            if own.get("sap:requires-filter") == "true":
                self._restrict(target, "FilterRestrictions", {"RequiresFilter": True})
        for item in children(container, "FunctionImport"):
            self._function(item)

    def _restrict(self, target: str, term: str, restriction: Any) -> None:
        """Add a refused capability; a term may have several parts."""
        terms = self._model.annotations.setdefault(target, {})
        own = terms.get(_CAPABILITIES + term)
        if isinstance(own, dict) and isinstance(restriction, dict):
            restriction = {**own, **restriction}
        terms[_CAPABILITIES + term] = restriction

    def _function(self, item: Element) -> None:
        own = attributes(item)
        method = own.get("m:HttpMethod", "GET")
        name = own.get("Name", "")
        self._model.operations.append(
            RawOperation(
                name,
                is_function=method == "GET",
                parameters=[
                    self._property(parameter)
                    for parameter in children(item, "Parameter")
                    if parameter.get("Mode", "In") != "Out"
                ],
                returns=self._names.whole(own.get("ReturnType", "")),
                method=method,
                about=self._names.whole(own.get("sap:action-for", "")),
                answers=own.get("EntitySet", ""),
            )
        )
        self._model.imports[name] = name
