"""Models as tables: which columns they have, and their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.connector import Column, Shape, System, TableUse
from bridge.model.errors import ConfigurationError, Rejected
from bridge.plan.steps import Wire
from bridge.single_flight import SingleFlight
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.http.errors import CallRefused
from connectors.tryton.metadata.field_values import decoder_of
from connectors.tryton.metadata.model import ID, VERSION, TrytonModel, model_of

COMPUTED_FIELDS: Final = ("rec_name", "last_modified_at")
"""Fields of every model that are computed when read, so used only if declared."""


class ModelTable:
    """A model as it is used.

    - `names`: the fields that are read; `fields`: their descriptions.
    - `key`: the columns of the key.
    - `shape`: the Shape of its rows.
    """

    def __init__(self, model: TrytonModel, use: TableUse) -> None:
        self.model = model
        self.fields = [model.fields[name] for name in _used_names(model, use)]
        self.names = [field.name for field in self.fields]
        self.key = use.key or (ID,)
        self._decoders = [decoder_of(field) for field in self.fields]
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

    def row(self, answer_row: Mapping[str, Any]) -> tuple[Any, ...]:
        """A row of the Shape."""
        return tuple(
            [
                answer_row[name] if decode is None else decode(answer_row[name])
                for name, decode in zip(self.names, self._decoders, strict=True)
            ]
        )

    def cell(self, name: str, answer_row: Mapping[str, Any]) -> Any:
        """One value of a row of the Shape."""
        decode = self._decoders[self.names.index(name)]
        return answer_row[name] if decode is None else decode(answer_row[name])

    def only_id(self, key: int) -> tuple[Any, ...]:
        """A row of the Shape of which nothing is known but its id."""
        return tuple([key if name == ID else None for name in self.names])


def _used_names(model: TrytonModel, use: TableUse) -> list[str]:
    """The columns that are used; the id always. One that the model doesn't have is left out here, and
    reported where an entity is made of the Shape.
    """
    if use.columns:
        names = [name for name in use.columns if name in model.fields and name != ID]
    else:
        names = [name for name in model.fields if name not in (ID, VERSION, *COMPUTED_FIELDS)]
    return [ID, *names]


class ModelTables:
    """The tables of one part of the connector, asked for once each."""

    def __init__(self, system: System, client: TrytonClient) -> None:
        self._uses = {use.table: use for use in system.tables}
        self._client = client
        self._tables: dict[str, ModelTable] = {}
        self._flights: SingleFlight[str, ModelTable] = SingleFlight()
        self._where = f"system {system.name!r}"

    async def table(self, name: str) -> ModelTable:
        """The table of a model. Raises ConfigurationError if there is no such model."""
        table = self._tables.get(name)
        if table is None:
            table = await self._flights.result(name, lambda: self._read(name))
        return table

    async def _read(self, name: str) -> ModelTable:
        model = await read_model(self._client, name, self._where)
        table = self._tables[name] = ModelTable(model, self._uses.get(name, TableUse(name)))
        return table

    async def read_again(self, name: str) -> ModelTable:
        """As `table`, asked for now; the same object if the model has the fields that it had."""
        last = self._tables.get(name)
        table = await self._flights.result(name, lambda: self._read(name))
        if last is not None and last.shape.columns == table.shape.columns:
            table = self._tables[name] = last
        return table

    def parents(self, name: str) -> set[str]:
        """The models without whose rows those of this one can't exist; none while it was not read."""
        table = self._tables.get(name)
        if table is None:
            return set()
        return {
            field.relation
            for field in table.model.fields.values()
            if field.tryton_type == "many2one" and field.required
        }

    def forget(self, name: str) -> None:
        """Ask for it again: the ERP may have got other modules."""
        self._tables.pop(name, None)


async def read_model(client: TrytonClient, name: str, where: str) -> TrytonModel:
    """What the ERP says of a model. Raises ConfigurationError for an unknown one."""
    try:
        descriptions = await client.call_model(name, "fields_get", [])
    except CallRefused as error:
        if error.fault.exception == "" and error.fault.text.strip("'\"") == name:
            raise ConfigurationError(
                f"{where}: Tryton has no model {name!r}: correct the name, or activate the module "
                "that brings it"
            ) from error
        raise ConfigurationError(f"model {name!r}: {error}") from error
    except Rejected as error:
        # Something before the ERP refused it.
        raise ConfigurationError(f"model {name!r}: {error}") from error
    if ID not in descriptions or not descriptions[ID].get("searchable", True):
        raise ConfigurationError(
            f"{where}: model {name!r} is not stored in a table, so it has no rows to be captured"
        )
    return model_of(name, descriptions)


def column_problems(table: ModelTable, use: TableUse) -> Sequence[str]:
    """What is wrong with the columns that a configuration names."""
    problems = []
    for name in dict.fromkeys((*use.key, *use.columns)):
        if name in table.model.left_out:
            problems.append(f"field {name!r} can't be used: {table.model.left_out[name]}")
        elif name not in table.model.fields:
            problems.append(f"there is no field {name!r}")
    return problems
