"""Whether a command has happened whose answer was lost."""

from __future__ import annotations

from contextlib import suppress
from datetime import date
from typing import Any

import pytest

from bridge.connector import Done, Shape
from bridge.model.errors import (
    OutcomeUnknown,
    RetryLater,
    Unsupported,
)
from tests.connectors.tryton.erp import ErpUser
from tests.connectors.tryton.written_commands import (
    done,
    effect,
    fits,
    writing,
)
from tests.http_proxy import CUT, DROP, HANG, HttpProxy
from tests.services.tryton import Tryton
from tests.waiting import until

CREATE = "CREATE sale.sale party=:party, reference=:ref"


FIND = "FIND sale.sale reference=:ref"


@pytest.mark.parametrize(("reaction", "created_count"), [(CUT, 1), (HANG, 1), (DROP, 0)])
async def test_a_create_whose_answer_is_lost_is_unknown_and_the_probe_tells(
    tryton: Tryton, erp_user: ErpUser, reaction: str, created_count: int
) -> None:
    party, _ = erp_user.customers[0]
    command = effect(CREATE, probe=FIND, party=party, ref=erp_user.reference())
    async with HttpProxy(tryton.address).serving() as between:
        between.rule = fits("model.sale.sale.create", reaction)
        timeout = 3 if reaction == HANG else 60
        async with writing(between.url(tryton.url), timeout=timeout) as writer:

            async def is_probed() -> bool:
                """The ERP, to the writer: a slow one may answer later than it waits."""
                with suppress(RetryLater):
                    return await writer.probe(command) is None
                return False

            await until(is_probed)
            lost, later = await writer.execute([command, command])
            await until(lambda: between.quiet)
        async with writing(tryton.url) as writer:
            result = await writer.probe(command)
    assert isinstance(lost, OutcomeUnknown)
    assert isinstance(later, RetryLater)
    assert isinstance(result, Done) == bool(created_count)
    assert len(erp_user.referring(command.parameters["ref"])) == created_count


async def test_probes_tell_by_the_row_what_may_have_happened(
    tryton: Tryton, erp_user: ErpUser
) -> None:
    key = erp_user.sell()
    quote = "BUTTON sale.sale(:key)/quote"

    def guard(shape: Shape | None, raw: Any) -> None:
        return None

    async with writing(tryton.url) as writer:
        write = "WRITE sale.sale(:key) comment=' held ', sale_date=:day"
        command = effect(write, key, day=date(2026, 3, 1))
        with pytest.raises(Unsupported, match="declare a `probe:`"):
            await writer.probe(command)
        assert await writer.probe(effect(write, key, guard, day=date(2026, 3, 1))) is None
        await done(writer, command)
        assert isinstance(await writer.probe(command), Done)
        assert await writer.probe(effect(write, 987_654, day=date(2026, 3, 1))) is None

        delete = "DELETE sale.sale(:key)"
        assert await writer.probe(effect(delete, key)) is None
        assert isinstance(await writer.probe(effect(delete, 987_654)), Done)
        for blind in (effect(quote, key), effect(CREATE, party=1, ref="x")):
            with pytest.raises(Unsupported, match="can't be probed"):
                await writer.probe(blind)
        own = effect(quote, key, probe="FIND sale.sale(:key) state=['quotation', 'confirmed']")
        assert await writer.probe(own) is None
        await done(writer, own)
        assert isinstance(await writer.probe(own), Done)
        with pytest.raises(OutcomeUnknown, match="no field 'stat'"):
            await writer.probe(effect(quote, key, probe="FIND sale.sale(:key) stat='x'"))
