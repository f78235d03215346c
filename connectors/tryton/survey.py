"""What the ERP has that a systems file could declare: models that can be read, and their buttons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError, Rejected
from bridge.model.suggestions import did_you_mean
from connectors.tryton.catalogue import read_model
from connectors.tryton.client import Client
from connectors.tryton.fields import ID, Model

USUAL = (
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
"""What the users of most companies know, as far as their modules are there. Of several hundred
models the others are settings, links and reports.
"""


@dataclass(frozen=True, slots=True)
class Described:
    """A model, and its buttons with what stands on them."""

    model: Model
    buttons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Survey:
    """`refused`: models that this user may not read, and the ERP's words."""

    models: Mapping[str, Described]
    refused: Mapping[str, str]


async def survey(client: Client, wanted: Sequence[str], where: str) -> Survey:
    """These models, or the usual ones. Raises ConfigurationError for one that isn't there."""
    there = {
        name.removeprefix("model.").removesuffix(".search_read")
        for name in await client.methods()
        if name.startswith("model.") and name.endswith(".search_read")
    }
    problems = [unknown(name, there) for name in wanted if name not in there]
    if problems:
        raise ConfigurationError(f"{where}: {'; '.join(problems)}")
    names = list(wanted) or [name for name in USUAL if name in there]
    buttons = await _buttons(client, names)
    models: dict[str, Described] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            model = await read_model(client, name, where)
            models[name] = Described(model, buttons.get(name, {}))
            await client.search_read(name, [], [ID], limit=1)
        except (Rejected, ConfigurationError) as error:
            models.pop(name, None)
            refused[name] = str(error).removeprefix(f"{where}, ").removeprefix(f"{where}: ")
    if not models:
        why = "; ".join(f"{name}: {said}" for name, said in refused.items()) or "none of the usual"
        raise ConfigurationError(
            f"{where}: no model can be read ({why}); name them with --entities"
        )
    return Survey(models, refused)


def unknown(name: str, there: set[str]) -> str:
    """That there is no such model, and what may have been meant."""
    return f"Tryton has no model {name!r}{did_you_mean(name, there)}"


async def _buttons(client: Client, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The buttons of these models; none where this user may not read which there are."""
    try:
        rows = await client.search_read(
            "ir.model.button", [["model", "in", list(names)]], ["model", "name", "string"]
        )
    except Rejected:
        return {}
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        label = " ".join(str(row["string"] or "").split())
        found.setdefault(row["model"], {})[row["name"]] = label
    return found
