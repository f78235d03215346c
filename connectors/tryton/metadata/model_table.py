"""Models as tables: which columns they have, and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bridge.connector import Column, Shape, System, TableUse
from bridge.model.errors import ConfigurationError, Rejected
from bridge.plan.steps import Wire
from bridge.single_flight import SingleFlight
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import CallRefused
from connectors.tryton.metadata.model import (
    ID,
    VERSION,
    ModelField,
    TrytonModel,
    decoder_of,
    model_of,
)

COMPUTED = ("rec_name", "last_modified_at")
"""Of every model: computed from others when asked, so told only where they are named."""


class ModelTable:
    """A model as it is used: its Shape, and what turns its rows into the Shape's."""

    def __init__(self, model: TrytonModel, use: TableUse) -> None:
        self.model = model
        self.fields = [model.fields[name] for name in _wanted(model, use)]
        self.names = [field.name for field in self.fields]
        self.key = use.key or (ID,)
        self._turns = [decoder_of(field) for field in self.fields]
        self.shape = Shape(
            model.name,
            tuple(
                Column(
                    field.name,
                    field.native,
                    field.type,
                    "python",
                    nullable=not field.required,
                    key=field.name == ID,
                )
                for field in self.fields
            ),
            Wire.PYTHON,
        )

    def row(self, read: Mapping[str, Any]) -> tuple[Any, ...]:
        """A row of the Shape."""
        return tuple(
            [
                read[name] if turn is None else turn(read[name])
                for name, turn in zip(self.names, self._turns, strict=True)
            ]
        )

    def cell(self, name: str, read: Mapping[str, Any]) -> Any:
        """One value of a row of the Shape."""
        turn = self._turns[self.names.index(name)]
        return read[name] if turn is None else turn(read[name])

    def only_id(self, key: int) -> tuple[Any, ...]:
        """A row of which nothing is known but its id."""
        return tuple([key if name == ID else None for name in self.names])

    def field(self, name: str) -> ModelField:
        """A field of the model by its name. Raises KeyError."""
        return self.model.fields[name]


def _wanted(model: TrytonModel, use: TableUse) -> list[str]:
    """The columns that are used; the id always. One that isn't there is left out here, and missed
    where an entity is made of the Shape.
    """
    if use.columns:
        named = [name for name in use.columns if name in model.fields and name != ID]
    else:
        named = [name for name in model.fields if name not in (ID, VERSION, *COMPUTED)]
    return [ID, *named]


class ModelTables:
    """The tables of one part of the connector, asked for once each."""

    def __init__(self, system: System, client: TrytonClient) -> None:
        self._uses = {use.table: use for use in system.tables}
        self._client = client
        self._known: dict[str, ModelTable] = {}
        self._flights: SingleFlight[str, ModelTable] = SingleFlight()
        self._where = f"system {system.name!r}"

    async def table(self, name: str) -> ModelTable:
        """Raises ConfigurationError where there is no such model."""
        known = self._known.get(name)
        if known is None:
            known = await self._flights.result(name, lambda: self._read(name))
        return known

    async def _read(self, name: str) -> ModelTable:
        model = await read_model(self._client, name, self._where)
        table = self._known[name] = ModelTable(model, self._uses.get(name, TableUse(name)))
        return table

    async def all(self, names: Iterable[str]) -> dict[str, ModelTable]:
        """Several of them."""
        return {name: await self.table(name) for name in names}

    def parents(self, name: str) -> set[str]:
        """The models without whose rows those of this one can't be; none while it is not known."""
        known = self._known.get(name)
        if known is None:
            return set()
        fields = known.model.fields.values()
        return {one.relation for one in fields if one.kind == "many2one" and one.required}

    def forget(self, name: str) -> None:
        """Ask anew: the ERP may have got other modules."""
        self._known.pop(name, None)


async def read_model(client: TrytonClient, name: str, where: str) -> TrytonModel:
    """What the catalogue says of a model. Raises ConfigurationError for an unknown one."""
    try:
        told = await client.call_model(name, "fields_get", [])
    except CallRefused as error:
        if error.fault.kind == "" and error.fault.text.strip("'\"") == name:
            raise ConfigurationError(
                f"{where}: Tryton has no model {name!r}: correct the name, or activate the module "
                "that brings it"
            ) from error
        raise ConfigurationError(f"model {name!r}: {error}") from error
    except Rejected as error:
        # Something in front of the ERP refused it.
        raise ConfigurationError(f"model {name!r}: {error}") from error
    if ID not in told or not told[ID].get("searchable", True):
        raise ConfigurationError(
            f"{where}: model {name!r} is not stored in a table, so it has no rows to be captured"
        )
    return model_of(name, told)


def column_problems(table: ModelTable, use: TableUse) -> Sequence[str]:
    """What is wrong with the columns that a configuration names."""
    found = []
    for name in dict.fromkeys((*use.key, *use.columns)):
        if name in table.model.left_out:
            found.append(f"field {name!r} can't be used: {table.model.left_out[name]}")
        elif name not in table.model.fields:
            found.append(f"there is no field {name!r}")
    return found
