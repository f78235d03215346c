"""Finds what a system file can declare: models that can be read, and their buttons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.suggestions import did_you_mean
from connectors.tryton.http.client import TrytonClient
from connectors.tryton.metadata.model import ID, TrytonModel
from connectors.tryton.metadata.model_table import read_model

USUAL_MODELS = (
    "party.party",
    "party.address",
    "party.contact_mechanism",
    "product.template",
    "product.product",
    "product.category",
    "product.uom",
    "sale.sale",
    "sale.line",
    "purchase.purchase",
    "purchase.line",
    "stock.location",
    "stock.move",
    "stock.shipment.out",
    "account.invoice",
    "account.invoice.line",
    "production",
    "project.work",
)
"""The models that most companies use, as far as their modules are installed. Of several hundred models,
the others are settings, links and reports.
"""


@dataclass(frozen=True, slots=True)
class DescribedModel:
    """A model, and the labels of its buttons by their names."""

    model: TrytonModel
    buttons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DiscoveredModels:
    """`models` that can be read; `refused`: those that this user may not read, and why."""

    models: Mapping[str, DescribedModel]
    refused: Mapping[str, str]


async def discover(client: TrytonClient, wanted: Sequence[str], where: str) -> DiscoveredModels:
    """These models, or the usual ones. Raises ConfigurationError for one that doesn't exist."""
    existing = {
        name.removeprefix("model.").removesuffix(".search_read")
        for name in await client.remote_methods()
        if name.startswith("model.") and name.endswith(".search_read")
    }
    problems = [unknown_model(name, existing) for name in wanted if name not in existing]
    if problems:
        raise ConfigurationError(f"{where}: {'; '.join(problems)}")
    names = list(wanted) or [name for name in USUAL_MODELS if name in existing]
    buttons = await _buttons(client, names)
    models: dict[str, DescribedModel] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            model = await read_model(client, name, where)
            models[name] = DescribedModel(model, buttons.get(name, {}))
            await client.search_read(name, [], [ID], limit=1)
        except (Rejected, ConfigurationError) as error:
            models.pop(name, None)
            refused[name] = str(error).removeprefix(f"{where}, ").removeprefix(f"{where}: ")
    if not models:
        reasons = (
            "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            or "none of the usual"
        )
        raise ConfigurationError(
            f"{where}: no model can be read ({reasons}); name them with --entities"
        )
    return DiscoveredModels(models, refused)


def unknown_model(name: str, existing: set[str]) -> str:
    """The message for an unknown model, with similar names."""
    return f"Tryton has no model {name!r}{did_you_mean(name, existing)}"


async def _buttons(client: TrytonClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The buttons of these models; none if this user may not read them."""
    try:
        rows = await client.search_read(
            "ir.model.button", [["model", "in", list(names)]], ["model", "name", "string"]
        )
    except Rejected:
        return {}
    buttons: dict[str, dict[str, str]] = {}
    for row in rows:
        label = " ".join(str(row["string"] or "").split())
        buttons.setdefault(row["model"], {})[row["name"]] = label
    return buttons
