"""Own writes where receipts have no position: read at once, also where what was held said otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic

from bridge.gateway import Gateway
from bridge.model.provenance import provenance
from bridge.model.read_demands import ReadDemands
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import SystemLimits
from connectors.odata.lookup.reader import ODataReader
from connectors.tryton.reader import TrytonReader
from tests.connectors.odata import order_system
from tests.connectors.tryton import erp
from tests.connectors.tryton.conftest import erp_user  # noqa: F401 - a fixture
from tests.connectors.tryton.erp import ErpUser
from tests.gateway.copied_erp import CopiedErp, LaggingCopy
from tests.services.cap import Cap, order_id
from tests.services.tryton import Tryton

PATIENT = ReadDemands(max_staleness=3600.0)
RECEIPT = Receipt(
    "c", Outcome.SUCCEEDED, None, None, None, None, None, datetime(2026, 1, 1, tzinfo=UTC)
)
OWN = ReadDemands(after=RECEIPT)


def lagging(entity: str) -> LaggingCopy:
    """A copy that has proved what there is now, and follows nothing."""
    copy = LaggingCopy(CopiedErp(reports_visibility=False), [entity])
    copy.cache.reset("")  # these services name no server
    copy.prove(monotonic())
    return copy


async def test_a_row_that_a_command_has_made_is_read_from_sap_cap(cap: Cap) -> None:
    cap.fill(orders=3)
    of = order_system.system(cap.url)
    copy = lagging("order")
    door = Gateway("erp", ODataReader(of), await order_system.tables(of), SystemLimits(), copy=copy)
    try:
        assert await door.get("order", order_id(3), PATIENT) is None
        cap.fill(**{"from": 3, "orders": 1})
        held = await door.get("order", order_id(3), PATIENT)
        assert held is None, "its absence is held"
        row = await door.get("order", order_id(3), OWN)
        assert provenance(row).source == "legacy"
        again = await door.get("order", order_id(3), PATIENT)
        assert provenance(again).source == "cache"
        assert again == row
    finally:
        await door.close()


async def test_a_row_that_a_command_has_made_is_read_from_tryton(
    tryton: Tryton,
    erp_user: ErpUser,  # noqa: F811 - the fixture
) -> None:
    of = erp.system(tryton.url)
    copy = lagging("sale")
    door = Gateway("erp", TrytonReader(of), await erp.tables(of), SystemLimits(), copy=copy)
    try:
        last = erp_user.sell()
        following = list(range(last + 1, last + 51))
        assert await door.get_many("sale", following, PATIENT) == [None] * 50
        key = erp_user.sell()
        assert key in following
        assert await door.get("sale", key, PATIENT) is None, "its absence is held"
        row = await door.get("sale", key, OWN)
        assert row is not None
        assert row.id == key
        assert provenance(await door.get("sale", key, PATIENT)).source == "cache"
    finally:
        await door.close()
