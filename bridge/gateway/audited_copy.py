"""The audit of one gateway's copy: reads rows of the legacy system again, and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.gateway.audit.answer_auditor import AnswerAuditor
from bridge.gateway.audit.verdict import WRONG, AuditVerdict, SourceRow
from bridge.gateway.copy.contract import SystemCopy
from bridge.gateway.limits.admission_request import WorkClass
from bridge.gateway.source_reads import SourceReads
from bridge.observe import Observer
from bridge.ports.entity_mapping import EntityMapping


def audited_copy(
    system: str,
    share: float,
    copy: SystemCopy,
    *,
    reads: SourceReads,
    tables: Mapping[str, EntityMapping],
    observer: Observer,
) -> AnswerAuditor:
    """The auditor of a copy; it reads with the least urgent class."""

    async def read(entity: str, source_key: tuple[Any, ...]) -> SourceRow:
        table = tables[entity]
        query = await reads.limiter.acquire(WorkClass.REPLAY)
        try:
            answer = await reads.fetch(table, table.entity.key, [source_key], None, 0)
        finally:
            reads.limiter.release(query)
        if not answer.raw:
            return SourceRow(None)
        [raw] = answer.raw
        row = table.row(answer.shape, raw)
        header: bytes = copy.rows.header(table.entity_of(answer.shape))
        return SourceRow(header + row.avro_bytes())

    return AnswerAuditor(system, share, copy, watches=copy.watches, read=read, observer=observer)


def audit_summary(auditor: AnswerAuditor) -> tuple[str, dict[str, int], str]:
    """For people; counts by verdict; and what is wrong, empty if nothing is."""
    counts = auditor.counts
    total = counts.total()
    wrong = sum(counts[verdict] for verdict in WRONG)
    older = counts[AuditVerdict.OLDER_THAN_CLAIM]
    summary = (
        f"{total} answers of the copy were compared with the system: "
        f"{counts[AuditVerdict.SAME]} the same, {counts[AuditVerdict.CHANGED_SINCE]} changed since, "
        f"{counts[AuditVerdict.UNDECIDED]} undecided; {older} older than they claimed, "
        f"{wrong - older} different"
    )
    by_verdict = {str(verdict): counts[verdict] for verdict in AuditVerdict}
    problem = (
        f"{wrong} answers were wrong, last {auditor.last_fault}. Set "
        "`cache: {bytes: 0}` for the system until that is explained, and report it with the records "
        "of the row"
        if wrong
        else ""
    )
    return summary, by_verdict, problem
