"""Answers of a gateway's copy: counted by source, and a share of them compared with the system."""

from __future__ import annotations

import pytest

from bridge.gateway import Gateway
from bridge.gateway.audit.verdict import AuditVerdict
from bridge.gateway.audited_copy import audit_summary
from bridge.model.read_demands import ReadDemands
from bridge.wiring.gateway_sections import gateway_sections
from tests.gateway.copied_erp import CopiedErp, LaggingCopy, erp_gateway, on_behalf


@pytest.fixture
def erp() -> CopiedErp:
    erp = CopiedErp()
    erp.write("customers", 1, "Ada")
    erp.write("orders", 7, 1, "first")
    return erp


@pytest.fixture
def copy(erp: CopiedErp) -> LaggingCopy:
    copy = LaggingCopy(erp)
    copy.follow()
    return copy


async def read_twice(door: Gateway, key: int = 7) -> None:
    for _ in range(2):
        await door.get("order", key)
    assert door.auditor is not None
    await door.auditor.wait_until_idle()


async def test_answers_and_misses_are_counted_where_they_are_given(
    erp: CopiedErp, copy: LaggingCopy
) -> None:
    door = erp_gateway(erp, copy)
    assert gateway_sections(door)["answers"]().summary == "no reads yet"
    for _ in range(3):
        await door.get("order", 7)
    await door.get("order", 7, ReadDemands(fresh=True))
    copy.doubts.add("order")
    await door.get("order", 7)
    order = door.answers.of("order")
    assert order.by_source == {"view": 0, "cache": 2, "peers": 0, "legacy": 3}
    assert order.misses == {"not_held": 1, "asked_for": 1, "doubt": 1}
    assert sum(order.ages) == 2
    section = gateway_sections(door)["answers"]()
    assert section.facts["order"]["cache"] == 2
    assert section.summary.startswith("5 answers: cache 40%, legacy 60%")
    await door.close()


async def test_without_a_copy_all_answers_are_the_systems(erp: CopiedErp) -> None:
    door = erp_gateway(erp, None, audit_share=1.0)
    await door.get_many("order", [7, 8])
    assert door.answers.of("order").by_source["legacy"] == 2
    assert door.auditor is None
    assert "audit" not in gateway_sections(door)
    await door.close()


async def test_a_right_answer_is_the_same(erp: CopiedErp, copy: LaggingCopy) -> None:
    door = erp_gateway(erp, copy, audit_share=1.0)
    await read_twice(door)
    await read_twice(door, key=99)
    assert door.auditor is not None
    assert door.auditor.counts == {AuditVerdict.SAME: 1}, "none within a second"
    summary, counts, problem = audit_summary(door.auditor)
    assert summary.startswith("1 answers of the copy were compared with the system: 1 the same")
    assert counts["same"] == 1
    assert not problem
    await door.close()


async def test_an_absence_is_audited_as_a_row_is(erp: CopiedErp, copy: LaggingCopy) -> None:
    door = erp_gateway(erp, copy, audit_share=1.0)
    await read_twice(door, key=99)
    assert door.auditor is not None
    assert door.auditor.counts == {AuditVerdict.SAME: 1}
    await door.close()


async def test_a_row_that_changed_since_is_no_fault(erp: CopiedErp, copy: LaggingCopy) -> None:
    door = erp_gateway(erp, copy, audit_share=1.0)
    await door.get("order", 7)
    erp.write("orders", 7, 1, "changed")
    await read_twice(door)
    assert door.auditor is not None
    assert door.auditor.counts == {AuditVerdict.CHANGED_SINCE: 1}
    await door.close()


async def test_a_wrong_answer_makes_status_unhealthy(erp: CopiedErp, copy: LaggingCopy) -> None:
    door = erp_gateway(erp, copy, audit_share=1.0)
    await door.get("order", 7)
    erp.history[1] = ("orders", 7, (7, 1, "never captured"))
    await read_twice(door)
    assert door.auditor is not None
    assert door.auditor.counts == {AuditVerdict.DIFFERS: 1}
    section = gateway_sections(door)["audit"]()
    assert section.problem.startswith(
        "1 answers were wrong, last erp.order: the source has the row"
    )
    await door.close()


async def test_an_audit_under_way_ends_with_its_gateway(erp: CopiedErp, copy: LaggingCopy) -> None:
    door = erp_gateway(erp, copy, audit_share=1.0)
    await door.get("order", 7, on_behalf())
    await door.get("order", 7, on_behalf())
    await door.close()
    assert not copy.watches
