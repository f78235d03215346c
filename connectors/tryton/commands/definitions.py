"""The ERP's models, their buttons, and this user's rights, as commands use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.model.errors import ConfigurationError
from bridge.model.suggestions import did_you_mean
from bridge.single_flight import SingleFlight
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model import TrytonModel
from connectors.tryton.metadata.model_table import read_model

_COMMON_METHODS: Final = (
    *("autocomplete", "copy", "create", "default_get", "delete", "export_data", "import_data"),
    *("export_data_domain", "fields_get", "fields_view_get", "history_revisions", "pre_validate"),
    *("read", "resources", "search", "search_count", "search_read", "view_toolbar_get", "write"),
)
"""What every model offers: no buttons."""


class ErpDefinitions:
    """Each is read once, until `forget`: the ERP may get other modules."""

    def __init__(self, client: TrytonClient, where: str) -> None:
        self._client = client
        self._where = where
        self._models: dict[str, TrytonModel] = {}
        self._methods: frozenset[str] | None = None
        self._model_flights: SingleFlight[str, TrytonModel] = SingleFlight()
        self._method_flights: SingleFlight[str, frozenset[str]] = SingleFlight()

    async def model(self, name: str) -> TrytonModel:
        """Raises ConfigurationError if there is no such model."""
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = await self._model_flights.result(
                name, lambda: read_model(self._client, name, self._where)
            )
        return model

    async def check_button(self, model: str, button: str) -> None:
        """Raises ConfigurationError if the model has no such button."""
        if self._methods is None:
            self._methods = await self._method_flights.result("", self._client.remote_methods)
        buttons = _buttons(self._methods, model)
        if button not in buttons:
            hint = did_you_mean(button, buttons, list_all=True)
            raise ConfigurationError(f"model {model!r} has no button {button!r}{hint}")

    async def rights(self, model: str) -> Mapping[str, bool]:
        """Whether this user may `read`, `write`, `create` and `delete` rows of the model; without those
        that the ERP doesn't report.
        """
        answer = await self._client.call("model.ir.model.access.get_access", [model])
        rights = answer.get(model) if isinstance(answer, dict) else None
        return rights if isinstance(rights, dict) else {}

    def forget(self) -> None:
        """Read everything again when needed."""
        self._models.clear()
        self._methods = None


def _buttons(methods: frozenset[str], model: str) -> list[str]:
    prefix = f"model.{model}."
    names = [name.removeprefix(prefix) for name in methods if name.startswith(prefix)]
    return sorted(
        name
        for name in names
        if "." not in name and name not in _COMMON_METHODS and not name.startswith(("on_", "get_"))
    )
