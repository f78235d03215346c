"""Metadata documents: finds the format, and reads V4's CSDL XML."""

from __future__ import annotations

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
    children,
    facet_number,
    facet_scale,
    local_name,
)

_CONSTANTS = {"String", "Path", "PropertyPath", "EnumMember", "NavigationPropertyPath",
              "AnnotationPath", "Date", "DateTimeOffset", "Guid", "Duration", "TimeOfDay"}  # fmt: skip


def read_csdl_xml(root: Element) -> RawModel:
    """V4's CSDL XML."""
    model, names = RawModel("v4"), NamespaceAliases()
    for reference in children(root, "Reference"):
        for include in children(reference, "Include"):
            names.alias(include.get("Alias"), include.get("Namespace", ""))
    schemas = [
        s for services in children(root, "DataServices") for s in children(services, "Schema")
    ]
    for schema in schemas:
        names.alias(schema.get("Alias"), schema.get("Namespace", ""))
    for schema in schemas:
        _CsdlXmlSchema(model, names, schema.get("Namespace", "")).read(schema)
    return model


class _CsdlXmlSchema:
    """Reads one schema into the model."""

    def __init__(self, model: RawModel, names: NamespaceAliases, space: str) -> None:
        self._model = model
        self._names = names
        self._space = space

    def read(self, schema: Element) -> None:
        for element in schema:
            kind = local_name(element)
            name = f"{self._space}.{element.get('Name', '')}"
            if kind == "EntityType":
                self._model.entities[name] = self._type(element, name)
            elif kind == "ComplexType":
                self._model.complexes[name] = self._type(element, name)
            elif kind == "EnumType":
                self._model.enums.add(name)
            elif kind == "TypeDefinition":
                self._model.definitions[name] = self._property(element, "UnderlyingType")
            elif kind in {"Action", "Function"}:
                self._model.operations.append(self._operation(element, name))
            elif kind == "EntityContainer":
                self._container(element, name)
            elif kind == "Annotations":
                self._model.annotate(
                    self._names.whole(element.get("Target", "")), self._terms(element)
                )

    def _property(self, element: Element, type_name: str = "Type") -> RawProperty:
        kind, collection = collection_of(self._names.whole(element.get(type_name, "Edm.String")))
        return RawProperty(
            element.get("Name", ""),
            kind,
            collection=collection,
            nullable=element.get("Nullable", "true") != "false",
            max_length=facet_number(element.get("MaxLength")),
            precision=facet_number(element.get("Precision")),
            scale=facet_scale(element.get("Scale")),
        )

    def _type(self, element: Element, name: str) -> RawType:
        raw_type = RawType(name, self._names.whole(element.get("BaseType", "")))
        raw_type.has_stream = element.get("HasStream") == "true"
        for key in children(element, "Key"):
            raw_type.key = [
                (ref.get("Name", ""), ref.get("Alias", "")) for ref in children(key, "PropertyRef")
            ]
        for item in children(element, "Property"):
            raw_type.properties.append(self._property(item))
            self._model.annotate(f"{name}/{item.get('Name', '')}", self._terms(item))
        for item in children(element, "NavigationProperty"):
            kind, many = collection_of(self._names.whole(item.get("Type", "")))
            by = tuple(
                (pair.get("Property", ""), pair.get("ReferencedProperty", ""))
                for pair in children(item, "ReferentialConstraint")
            )
            raw_type.navigations.append(
                RawNavigation(item.get("Name", ""), kind, many, item.get("Partner", ""), by)
            )
        self._model.annotate(name, self._terms(element))
        return raw_type

    def _operation(self, element: Element, name: str) -> RawOperation:
        operation = RawOperation(name, is_function=local_name(element) == "Function")
        operation.parameters = [self._property(item) for item in children(element, "Parameter")]
        if element.get("IsBound") == "true" and operation.parameters:
            first = operation.parameters.pop(0)
            operation.binding, operation.binding_many = first.type, first.collection
        for item in children(element, "ReturnType"):
            operation.returns = self._names.whole(item.get("Type", ""))
        operation.method = "GET" if operation.is_function else "POST"
        return operation

    def _container(self, element: Element, name: str) -> None:
        for item in children(element, "EntitySet"):
            target = f"{name}/{item.get('Name', '')}"
            raw_set = RawSet(
                item.get("Name", ""), self._names.whole(item.get("EntityType", "")), target
            )
            for bound in children(item, "NavigationPropertyBinding"):
                raw_set.bindings[bound.get("Path", "")] = bound.get("Target", "")
            self._model.sets.append(raw_set)
            self._model.annotate(target, self._terms(item))
        self._model.singletons += [item.get("Name", "") for item in children(element, "Singleton")]
        for item in children(element, "ActionImport", "FunctionImport"):
            operation = item.get("Action") or item.get("Function") or ""
            self._model.imports[item.get("Name", "")] = self._names.whole(operation)
        self._model.annotate(name, self._terms(element))

    def _terms(self, element: Element) -> dict[str, Any]:
        return {
            self._names.whole(item.get("Term", "")): expression(item)
            for item in children(element, "Annotation")
            if not item.get("Qualifier")
        }


def expression(element: Element) -> Any:
    """An annotation's value. One without any value is true, as terms that tag are."""
    for name, text in element.attrib.items():
        if name == "Bool":
            return text == "true"
        if name == "Int":
            return facet_number(text)
        if name in _CONSTANTS:
            return text
    for child in element:
        kind = local_name(child)
        if kind == "Record":
            return {
                item.get("Property", ""): expression(item)
                for item in children(child, "PropertyValue")
            }
        if kind == "Collection":
            return [expression_of_item(item) for item in child]
        if kind == "Bool":
            return (child.text or "").strip() == "true"
        if kind in _CONSTANTS:
            return (child.text or "").strip()
    return True


def expression_of_item(element: Element) -> Any:
    """An item of a collection: a constant's text, or a record."""
    if local_name(element) == "Record":
        return {
            item.get("Property", ""): expression(item)
            for item in children(element, "PropertyValue")
        }
    return (element.text or "").strip()
