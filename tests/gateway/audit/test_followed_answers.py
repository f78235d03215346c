"""The audit over a copy of a system that is really captured."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bridge.gateway.audit.answer_auditor import AnswerAuditor
from bridge.gateway.audit.verdict import AuditedAnswer, AuditVerdict, SourceRow
from bridge.observe import ignore
from tests.capture.harness import CaptureHarness
from tests.gateway.copy.harness import SYSTEM_SCOPE, CopyHarness, following
from tests.waiting import until

TABLE = "CREATE TABLE t (id integer PRIMARY KEY, a varchar(20))"


async def audited(
    copy: CopyHarness,
    before_the_read: Callable[[], object] = lambda: None,
    **claimed: Any,
) -> tuple[AuditVerdict, str]:
    """The verdict about what is held of row 1; `claimed` instead of what the copy claims."""

    async def read(entity: str, key: tuple[Any, ...]) -> SourceRow:
        assert key == (1,)
        before_the_read()
        rows = await copy.fetch(entity, 1)
        table = copy.table(entity, rows.shape)
        row = table.rows(rows.shape, rows.rows)
        if not row:
            return SourceRow(None)
        return SourceRow(copy.copy.rows.header(table.entity_of(rows.shape)) + row[0].avro_bytes())

    auditor = AnswerAuditor(
        "erp", 1.0, copy.copy, watches=copy.copy.watches, read=read, observer=ignore
    )
    key = copy.key("t", 1)
    entry = copy.cache.get(SYSTEM_SCOPE, "t", key)
    claim = copy.copy.claim("t", key)
    assert entry is not None
    assert claim is not None
    claim = replace(claim, **claimed)
    auditor.consider(AuditedAnswer("t", key, (1,), entry.payload, claim))
    await auditor.wait_until_idle()
    [verdict] = auditor.counts.elements()
    return verdict, auditor.last_fault


async def check_audit(capture: CaptureHarness) -> None:
    capture.run(TABLE, "INSERT INTO t VALUES (1, 'old')")
    await capture.declare("t")
    async with capture.capturing(), following(capture) as copy:
        await copy.prove("t")
        await copy.read("t", 1)
        assert await audited(copy) == (AuditVerdict.SAME, "")

        def change() -> None:
            capture.run("UPDATE t SET a = 'new' WHERE id = 1")

        assert await audited(copy, change) == (AuditVerdict.CHANGED_SINCE, "")

        def delete() -> None:
            capture.run("DELETE FROM t WHERE id = 1")

        in_time = time.monotonic() + 60
        verdict, fault = await audited(copy, delete, as_of=in_time)
        assert verdict is AuditVerdict.OLDER_THAN_CLAIM, fault
        assert "before the time that it claimed" in fault
        assert await audited(copy) == (AuditVerdict.SAME, "")
        # A copy that holds what never was.
        entry = copy.cache.get(SYSTEM_SCOPE, "t", copy.key("t", 1))
        assert entry is not None
        entry.payload = b"\0\0\0\0\0?"
        verdict, fault = await audited(copy)
        assert verdict is AuditVerdict.DIFFERS
        assert "none of the 0 changes" in fault


async def test_answers_of_postgresql(pg: CaptureHarness) -> None:
    await check_audit(pg)


async def test_answers_of_the_journal(journal: CaptureHarness) -> None:
    await check_audit(journal)


async def test_a_table_that_is_truncated_meanwhile_decides_nothing(pg: CaptureHarness) -> None:
    pg.run(TABLE, "INSERT INTO t VALUES (1, 'old')")
    await pg.declare("t")
    async with pg.capturing(), following(pg) as copy:
        await copy.prove("t")
        await copy.read("t", 1)

        def truncate() -> None:
            pg.run("TRUNCATE t")

        verdict, _ = await audited(copy, truncate)
        assert verdict in (AuditVerdict.UNDECIDED, AuditVerdict.CHANGED_SINCE)
        await until(lambda: not copy.copy.watches)
