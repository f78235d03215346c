"""The content of a metadata document, in one form for all formats;
`connectors.odata.metadata.model_builder` reads it.

Names are qualified and free of aliases. Annotations are kept by target (`NS.Container/Set`,
`NS.Type/Property`) and qualified term; their values are plain Python (records are dicts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.odata.metadata.model import Version

Annotations = dict[str, dict[str, Any]]


@dataclass(slots=True)
class RawProperty:
    """A structural property or a parameter; `type` without `Collection(...)`."""

    name: str
    type: str
    collection: bool = False
    nullable: bool = True
    max_length: int | None = None
    precision: int | None = None
    scale: int | None = None
    concurrency: bool = False
    filterable: bool = True
    comparable: bool = True
    sortable: bool = True
    required_in_filter: bool = False
    date_only: bool = False


@dataclass(slots=True)
class RawNavigation:
    """A navigation property. `targets`: by entity set of its owner, where V2's association sets
    say so; V4 binds at the entity set.
    """

    name: str
    type: str
    many: bool
    partner: str = ""
    by: tuple[tuple[str, str], ...] = ()
    targets: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class RawType:
    """An entity type or a complex type. `key` None: inherited or none; pairs of path and alias."""

    name: str
    base: str = ""
    key: list[tuple[str, str]] | None = None
    properties: list[RawProperty] = field(default_factory=list)
    navigations: list[RawNavigation] = field(default_factory=list)
    has_stream: bool = False


@dataclass(slots=True)
class RawSet:
    """An entity set; `target` is its name among annotations."""

    name: str
    type: str
    target: str
    bindings: dict[str, str] = field(default_factory=dict)
    refused: str = ""


@dataclass(slots=True)
class RawOperation:
    """An action or a function; `binding` the type that it is bound to. V2 calls all at the root:
    `about` is the type that one is for, `answers` the entity set that its result is from.
    """

    name: str
    is_function: bool
    binding: str = ""
    binding_many: bool = False
    parameters: list[RawProperty] = field(default_factory=list)
    returns: str = ""
    method: str = "POST"
    about: str = ""
    answers: str = ""


@dataclass(slots=True)
class RawModel:
    """A whole document. `imports`: names at the service's root and the operations that they call."""

    version: Version
    entities: dict[str, RawType] = field(default_factory=dict)
    complexes: dict[str, RawType] = field(default_factory=dict)
    enums: set[str] = field(default_factory=set)
    definitions: dict[str, RawProperty] = field(default_factory=dict)
    sets: list[RawSet] = field(default_factory=list)
    singletons: list[str] = field(default_factory=list)
    operations: list[RawOperation] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    annotations: Annotations = field(default_factory=dict)

    def annotate(self, target: str, terms: Mapping[str, Any]) -> None:
        """Add annotations of one target; the first of a term counts."""
        own_terms = self.annotations.setdefault(target, {})
        for term, value in terms.items():
            own_terms.setdefault(term, value)


def collection_of(type_name: str) -> tuple[str, bool]:
    """A type's name without `Collection(...)`, and whether it had that."""
    if type_name.startswith("Collection(") and type_name.endswith(")"):
        return type_name[len("Collection(") : -1], True
    return type_name, False


class NamespaceAliases:
    """Resolves aliases of namespaces."""

    def __init__(self) -> None:
        self._aliases: dict[str, str] = {}

    def alias(self, alias: str | None, namespace: str) -> None:
        """From now on `alias` means `namespace`."""
        if alias:
            self._aliases[alias] = namespace

    def whole(self, name: str) -> str:
        """A qualified name (of a type, a term, or a path that begins with one) without alias."""
        inner, collection = collection_of(name)
        head, slash, path = inner.partition("/")
        space, dot, last = head.rpartition(".")
        if space in self._aliases:
            head = f"{self._aliases[space]}{dot}{last}"
        return f"Collection({head}{slash}{path})" if collection else f"{head}{slash}{path}"
