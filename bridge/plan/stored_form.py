"""Values of fields as the log holds them: in keys of records, and as rows of events have them. Pure.

Whether two values are the same to the source is another question. Where its equality is coarser than
that of the log's form (a collation without case, blanks that don't count, numbers of any scale), that
no row has a value doesn't follow from what the log holds: `FieldForm.is_exact` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bridge.model.errors import Rejected, RowError
from bridge.plan.avro_encoder import key_encoder
from bridge.plan.coerce import coercer
from bridge.plan.convert import converter
from bridge.plan.opcodes import AS_OBJECT
from bridge.plan.steps import PlanStep

EXACT_TYPES: Final = frozenset(
    {"integer", "boolean", "uuid", "date", "timestamp", "local_timestamp", "decimal", "bytes"}
)
"""Types whose values are the same to every source exactly if their forms in the log are."""


class FieldForm:
    """One field of an entity over one shape of its table.

    is_exact: values are the same to the source exactly if they are the same in the log.
    encode_key: a value as `value` returns it, as a part of a record's key.
    """

    __slots__ = ("_convert", "_fit", "_turn", "encode_key", "is_exact")

    def __init__(
        self,
        step: PlanStep,
        entity: str,
        turn: Callable[[Any], Any],
        mask_key: bytes | None,
        *,
        has_exact_text: bool,
    ) -> None:
        is_plain = not step.transforms and step.sources[:1] == (step.target,)
        self.is_exact = is_plain and (
            step.target.name in EXACT_TYPES or (step.target.name == "string" and has_exact_text)
        )
        self.encode_key = key_encoder(step.target)
        self._fit = coercer(step.target) if is_plain else None
        self._turn = turn
        self._convert = None if is_plain else converter(step, entity, mask_key)

    def value(self, value: Any, source_value: Any) -> Any | None:
        """The value as rows of events have it; None: nobody can say, so that the source is asked.

        source_value: the same in the source's own form (`EntityTable.outward`).
        """
        if self._fit is not None:
            return self._fit(value)
        if source_value is None or self._convert is None:
            return None
        try:
            stored = self._convert(((AS_OBJECT, source_value),))
            # Another value of the source may have this form, too: then it isn't what was asked for.
            return stored if self._turn(stored) == source_value else None
        except (RowError, Rejected):
            return None
