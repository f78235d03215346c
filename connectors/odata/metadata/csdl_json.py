"""V4's metadata as CSDL JSON. Its defaults differ from XML's: not nullable, and a variable scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.model.errors import ConfigurationError
from connectors.http.errors import UnreadableAnswer
from connectors.http.json_values import parse_json
from connectors.odata.metadata.raw_model import (
    NamespaceAliases,
    RawModel,
    RawNavigation,
    RawOperation,
    RawProperty,
    RawSet,
    RawType,
)


def read_csdl_json(body: bytes) -> RawModel:
    """The document. Raises ConfigurationError if it is none."""
    try:
        document = parse_json(body, parse_float=float)
    except UnreadableAnswer as error:
        raise ConfigurationError(f"$metadata is no JSON: {error}") from None
    if not isinstance(document, dict) or "$Version" not in document:
        raise ConfigurationError(
            "$metadata is JSON without $Version, so no CSDL: is the url the service's root, as in "
            "https://host/path/?"
        )
    model, names = RawModel("v4"), NamespaceAliases()
    for reference in _mappings(document.get("$Reference")):
        for include in _list(reference[1].get("$Include")):
            names.alias(include.get("$Alias"), include.get("$Namespace", ""))
    schemas = list(_members(document))
    for space, schema in schemas:
        names.alias(schema.get("$Alias"), space)
    for space, schema in schemas:
        _CsdlJsonSchema(model, names, space).read(schema)
    return model


def _mappings(value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, dict):
        yield from ((name, item) for name, item in value.items() if isinstance(item, dict))


def _members(value: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Named members; `$...` are CSDL's own and `@...` annotations."""
    for name, item in _mappings(value):
        if not name.startswith("$") and "@" not in name:
            yield name, item


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class _CsdlJsonSchema:
    """Reads one schema into the model."""

    def __init__(self, model: RawModel, names: NamespaceAliases, space: str) -> None:
        self._model = model
        self._names = names
        self._space = space

    def read(self, schema: Mapping[str, Any]) -> None:
        for member, item in _members(schema):
            name = f"{self._space}.{member}"
            kind = item.get("$Kind")
            if kind == "EntityType":
                self._model.entities[name] = self._type(item, name)
            elif kind == "ComplexType":
                self._model.complexes[name] = self._type(item, name)
            elif kind == "EnumType":
                self._model.enums.add(name)
            elif kind == "TypeDefinition":
                self._model.definitions[name] = self._property(
                    member, {**item, "$Type": item.get("$UnderlyingType")}
                )
            elif kind == "EntityContainer":
                self._container(item, name)
        for member, overloads in schema.items():
            for item in _list(overloads):
                if item.get("$Kind") in {"Action", "Function"}:
                    self._model.operations.append(self._operation(item, f"{self._space}.{member}"))
        for target, item in _mappings(schema.get("$Annotations")):
            self._model.annotate(self._names.whole(target), self._terms(item))

    def _property(self, name: str, item: Mapping[str, Any]) -> RawProperty:
        scale, decimal = item.get("$Scale"), item.get("$Type") == "Edm.Decimal"
        return RawProperty(
            name,
            self._names.whole(item.get("$Type") or "Edm.String"),
            collection=item.get("$Collection") is True,
            nullable=item.get("$Nullable") is True,
            max_length=_number(item.get("$MaxLength")),
            precision=_number(item.get("$Precision")),
            scale=scale if _number(scale) is not None else (-1 if decimal else None),
        )

    def _type(self, item: Mapping[str, Any], name: str) -> RawType:
        raw_type = RawType(name, self._names.whole(item.get("$BaseType") or ""))
        raw_type.has_stream = item.get("$HasStream") is True
        if isinstance(item.get("$Key"), list):
            raw_type.key = [
                (key, "") if isinstance(key, str) else (next(iter(key.values())), next(iter(key)))
                for key in item["$Key"]
                if key
            ]
        for member, value in _members(item):
            if value.get("$Kind") == "NavigationProperty":
                by = value.get("$ReferentialConstraint") or {}
                raw_type.navigations.append(
                    RawNavigation(
                        member,
                        self._names.whole(value.get("$Type") or ""),
                        value.get("$Collection") is True,
                        value.get("$Partner") or "",
                        tuple((own, to) for own, to in by.items() if "@" not in own),
                    )
                )
            else:
                raw_type.properties.append(self._property(member, value))
                self._model.annotate(f"{name}/{member}", self._terms(value))
        self._model.annotate(name, self._terms(item))
        return raw_type

    def _operation(self, item: Mapping[str, Any], name: str) -> RawOperation:
        function = item.get("$Kind") == "Function"
        operation = RawOperation(name, is_function=function, method="GET" if function else "POST")
        operation.parameters = [
            self._property(parameter.get("$Name", ""), parameter)
            for parameter in _list(item.get("$Parameter"))
        ]
        if item.get("$IsBound") is True and operation.parameters:
            first = operation.parameters.pop(0)
            operation.binding, operation.binding_many = first.type, first.collection
        returns = item.get("$ReturnType")
        if isinstance(returns, dict):
            kind = self._names.whole(returns.get("$Type") or "Edm.String")
            operation.returns = (
                f"Collection({kind})" if returns.get("$Collection") is True else kind
            )
        return operation

    def _container(self, container: Mapping[str, Any], name: str) -> None:
        for member, item in _members(container):
            target = f"{name}/{member}"
            operation = item.get("$Action") or item.get("$Function")
            if operation:
                self._model.imports[member] = self._names.whole(operation)
            elif item.get("$Collection") is True:
                raw_set = RawSet(member, self._names.whole(item.get("$Type") or ""), target)
                bindings = item.get("$NavigationPropertyBinding") or {}
                raw_set.bindings = {path: str(to) for path, to in bindings.items()}
                self._model.sets.append(raw_set)
            elif "$Type" in item:
                self._model.singletons.append(member)
            self._model.annotate(target, self._terms(item))
        self._model.annotate(name, self._terms(container))

    def _terms(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {
            self._names.whole(name[1:]): value
            for name, value in item.items()
            if name.startswith("@") and "#" not in name and "@" not in name[1:]
        }
