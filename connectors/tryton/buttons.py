"""Which buttons the ERP's models have, as it offers them to remote callers."""

from __future__ import annotations

import difflib

from bridge.model.errors import ConfigurationError
from connectors.tryton.client import Client

_COMMON = (
    *("autocomplete", "copy", "create", "default_get", "delete", "export_data", "import_data"),
    *("export_data_domain", "fields_get", "fields_view_get", "history_revisions", "pre_validate"),
    *("read", "resources", "search", "search_count", "search_read", "view_toolbar_get", "write"),
)
"""What every model offers: no buttons."""


class Buttons:
    """Asked for once, and anew where one is missing: the ERP may have got other modules."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._methods: frozenset[str] | None = None

    async def learn(self) -> None:
        """Ask the ERP."""
        self._methods = await self._client.methods()

    async def check(self, model: str, button: str) -> None:
        """Raises ConfigurationError where the model has no such button."""
        for again in (False, True):
            if self._methods is None or again:
                await self.learn()
            if self._methods is not None and f"model.{model}.{button}" in self._methods:
                break
        there = self._of(model)
        if button not in there:
            near = difflib.get_close_matches(button, there, 3, 0.5) or there
            hint = f"; there are {', '.join(near)}" if near else ""
            raise ConfigurationError(f"model {model!r} has no button {button!r}{hint}")

    def _of(self, model: str) -> list[str]:
        start = f"model.{model}."
        names = [name.removeprefix(start) for name in self._methods or () if name.startswith(start)]
        return sorted(
            name
            for name in names
            if "." not in name and name not in _COMMON and not name.startswith(("on_", "get_"))
        )
