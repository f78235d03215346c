"""Values of every type, and of relations, as they are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from bridge.connector import Ask, TableUse
from bridge.model.errors import (
    Unsupported,
)
from connectors.tryton.reader import TrytonReader
from tests.connectors.tryton.erp import ErpUser, system
from tests.connectors.tryton.written_commands import (
    created_id,
    done,
    effect,
    refused,
    writing,
)
from tests.services.tryton import Tryton

MOMENT = datetime(2026, 2, 28, 10, 30, tzinfo=UTC)


async def test_values_of_every_type_are_written_as_they_are_meant(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    order = erp_user.rpc.create("kit.order", {"order_no": erp_user.reference()})
    values: dict[str, tuple[str, Any, Any]] = {
        "boolean": ("true", None, True),
        "integer": (":value", 7, 7),
        "char": (":value", " it's ", " it's "),
        "text": ("'a\nb'", None, "a\nb"),
        "float": ("1.5", None, 1.5),
        "numeric": (":value", Decimal("1.250"), "1.250"),
        "money": ("12.30", None, Decimal("12.30")),
        "date": ("'2026-02-28'", None, date(2026, 2, 28)),
        "datetime": (":value", MOMENT, MOMENT),
        "stamp": (":value", MOMENT.replace(microsecond=1), MOMENT.replace(microsecond=1)),
        "time": ("'10:30'", None, time(10, 30)),
        "delta": ("90", None, 90.0),
        "choice": ("'b'", None, "b"),
        "choices": ("['a', 'b']", None, ["a", "b"]),
        "binary": (":value", b"\xfb\xff", b"\xfb\xff"),
        "dictionary": (":value", '{"a": 1}', '{"a": 1}'),
        "reference": (":value", f"kit.order,{order}", f"kit.order,{order}"),
        "order": (":value", str(order), order),
    }
    reader = TrytonReader(system(tryton.url, tables=[TableUse("kit.typed", (), tuple(values))]))
    async with writing(tryton.url) as writer:
        for name, (text, argument, expected) in values.items():
            result = await done(writer, effect(f"CREATE kit.typed {name}={text}", value=argument))
            rows = await reader.fetch(Ask("kit.typed", ("id",), [(created_id(result),)]))
            names = [column.name for column in rows.shape.columns]
            assert rows.rows[0][names.index(name)] == expected, name
        for wrong in ("reference='res.user,1'", "reference='kit.order'", "choice='c'", "boolean=1"):
            assert (await refused(writer, effect(f"CREATE kit.typed {wrong}")))[0] == "bad_value"
    await reader.close()


async def test_rows_of_a_many2many_are_added(tryton: Tryton, erp_user: ErpUser) -> None:
    party = erp_user.rpc.create("party.party", {"name": "Sorted & Co"})
    first, two = (erp_user.rpc.create("party.category", {"name": f"{party}/{n}"}) for n in (1, 2))
    async with writing(tryton.url) as writer:
        for many in (f"[{first}]", "[:two, :two]"):
            write = f"WRITE party.party(:key) categories={many}"
            await done(writer, effect(write, party, table="party.party", two=two))
        wrong = effect("WRITE party.party(:key) categories=['x']", party, table="party.party")
        assert await refused(writer, wrong) == (
            "bad_value",
            "model 'party.party', field 'categories': 'x' is no row's id",
        )
        lost = effect("WRITE party.party(:key) categories=[1]", party, table="party.party")
        with pytest.raises(Unsupported, match="declare a `probe:`"):
            await writer.probe(lost)
    assert sorted(erp_user.row(party, "categories", model="party.party")["categories"]) == [
        first,
        two,
    ]
