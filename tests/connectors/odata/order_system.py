"""Systems over the ERP of tests, its entities, and a gateway to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from bridge.connector import Shape, System, TableUse
from bridge.gateway import Gateway
from bridge.model.specs import EntitySpec, SystemLimits
from bridge.model.types import Relation
from bridge.observe import Notice
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.tls import TlsFiles
from connectors.odata.capture.options import ODataOptions
from connectors.odata.http.client import ODataClient
from connectors.odata.lookup.reader import ODataReader
from connectors.odata.protocol.entity_table import build_table

USES = (
    TableUse("Orders", ("ID",), ("ID", "number", "customer_ID", "status", "total", "modifiedAt")),
    TableUse("Lines", (), ("order_ID", "position", "product_ID", "quantity")),
    TableUse("Products", (), ("ID", "name", "stock")),
    TableUse("Customers", (), ("ID", "name", "limit")),
)
SPECS = (
    EntitySpec(
        "erp",
        "order",
        "Orders",
        relations=(
            Relation("lines", "line", by="order_id"),
            Relation("customer", "customer", from_field="customer_id"),
        ),
    ),
    EntitySpec(
        "erp", "line", "Lines", relations=(Relation("product", "product", from_field="product_id"),)
    ),
    EntitySpec("erp", "product", "Products"),
    EntitySpec("erp", "customer", "Customers"),
)


def system(
    url: str,
    *,
    login: Any = None,
    options: Mapping[str, Any] | None = None,
    connections: int = 4,
    tls: TlsFiles | None = None,
) -> System:
    """A system as the configuration would have it."""
    scheme, _, rest = url.partition("://")
    shown_url = f"{scheme}://{rest.rpartition('@')[2]}"
    parsed_options = ODataOptions.model_validate(options or {})
    return System(
        "acme", "erp", url, shown_url, parsed_options, USES, connections, login=login, tls=tls
    )


async def shapes(of: System) -> dict[str, Shape]:
    """The tables' shapes as the metadata says."""
    client = ODataClient(of)
    service = await client.metadata()
    await client.close()
    return {use.table: build_table(service, use).shape for use in USES}


async def tables(of: System, specs: Sequence[EntitySpec] = SPECS) -> dict[str, EntityTable]:
    """The entities over their tables, as wiring makes them."""
    shapes_by_table = await shapes(of)
    return {
        spec.name: EntityTable(
            spec, entity_type(spec, shapes_by_table[spec.table]), shapes_by_table[spec.table]
        )
        for spec in specs
    }


@asynccontextmanager
async def gateway(of: System, observer: Callable[[Notice], None]) -> AsyncIterator[Gateway]:
    """A gateway with a reader of its own, which has asked for nothing yet."""
    entity_tables = await tables(of)
    door = Gateway("erp", ODataReader(of), entity_tables, SystemLimits(), observer=observer)
    try:
        yield door
    finally:
        await door.close()
