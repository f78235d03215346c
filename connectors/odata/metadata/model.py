"""A service's metadata, in one form for V4 and V2. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Version = Literal["v2", "v4"]


@dataclass(frozen=True, slots=True)
class Property:
    """A property of primitive or enumeration type.

    `name` is a path (`Address/City`) if it is within a complex property: JSON nests it,
    filters take the path, `$select` takes its first part. `edm` is a primitive (`Edm.Decimal`),
    type definitions resolved. `enum` is the qualified name of an enumeration type, whose values
    are texts (`edm` is then `Edm.String`). `scale` None: none given; -1: variable (or floating).
    `date_only`: an Edm.DateTime that means a date (`sap:display-format`).
    `note` says why a property that was left out can't be had.
    """

    name: str
    edm: str
    nullable: bool = True
    max_length: int | None = None
    precision: int | None = None
    scale: int | None = None
    collection: bool = False
    note: str = ""
    enum: str = ""
    date_only: bool = False

    @property
    def path(self) -> tuple[str, ...]:
        """The steps that lead to the value in a row's JSON."""
        return tuple(self.name.split("/"))


@dataclass(frozen=True, slots=True)
class Navigation:
    """A navigation property: `target` the entity set it leads to ("" where no set is known),
    `many` whether to several rows, `by` pairs of (own property, target property) that are equal;
    empty if the metadata don't say.
    """

    name: str
    target: str
    many: bool
    by: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EntitySet:
    """An entity set: a table of the port.

    `type` is qualified. `key` names the key properties in order. `concurrency` names the
    properties of the optimistic lock; `""` among them: there is an ETag, whatever it is made of.
    `delta`: change tracking is announced. `changed` names a property of Edm.DateTimeOffset or
    Edm.DateTime that every change raises, announced or known by its name; None: there is none.
    `created` likewise names the time of creation.
    `creatable`, `updatable`, `deletable`, `filterable`, `sortable`, `countable`, `toppable`: False where
    the metadata refuses it; `unfilterable` names single properties that no filter may name,
    `uncomparable` those that it may only ask for by `eq`, `unsortable` those that no order may name.
    `required_filters` names properties without a filter by which the set gives nothing; `""` among
    them: it wants some filter.
    """

    name: str
    type: str
    key: tuple[str, ...]
    properties: Mapping[str, Property]
    navigations: Mapping[str, Navigation] = field(default_factory=dict)
    concurrency: tuple[str, ...] = ()
    delta: bool = False
    changed: str | None = None
    created: str | None = None
    creatable: bool = True
    updatable: bool = True
    deletable: bool = True
    filterable: bool = True
    sortable: bool = True
    countable: bool = True
    toppable: bool = True
    unfilterable: frozenset[str] = frozenset()
    uncomparable: frozenset[str] = frozenset()
    unsortable: frozenset[str] = frozenset()
    required_filters: tuple[str, ...] = ()

    def can_filter(self, name: str) -> bool:
        """Whether `$filter` may name this property, as far as the metadata says."""
        return self.filterable and name not in self.unfilterable

    @property
    def can_sort_by_key(self) -> bool:
        """Whether `$orderby` may name the whole key, as far as the metadata says."""
        return self.sortable and self.unsortable.isdisjoint(self.key)

    def can_page_by(self, name: str) -> bool:
        """Whether rows can be asked for in the order of this property, after a value of it."""
        sortable = self.sortable and name not in self.unsortable
        return sortable and self.can_filter(name) and name not in self.uncomparable


@dataclass(frozen=True, slots=True)
class Action:
    """An action or function: `name` as the URL wants it (qualified where it is bound in V4).

    `bound_to` is the entity set whose rows it is called on, None: it is called at the service's
    root. `bound_many`: it is called on the whole set. `returns` is an Edm type or "". `method` is
    how V2 wants a function import called, `about` the entity set of the row that its parameters
    name ("": it is about none).
    """

    name: str
    bound_to: str | None
    is_function: bool
    parameters: tuple[Property, ...] = ()
    returns: str = ""
    bound_many: bool = False
    method: str = "POST"
    about: str = ""


@dataclass(frozen=True, slots=True)
class ODataService:
    """A service: its entity sets by name, its actions, and what was left out and why: by `Set` or
    `Set/Property` in `left_out`, as sentences in `notes`.
    """

    version: Version
    sets: Mapping[str, EntitySet]
    actions: tuple[Action, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
