"""The annotations of an entity set. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.odata.metadata.field_types import TIMESTAMP_TYPES
from connectors.odata.metadata.model import Property
from connectors.odata.metadata.raw_model import Annotations

CAPABILITIES = "Org.OData.Capabilities.V1."
CORE = "Org.OData.Core.V1."
_CHANGED_AT = "com.sap.vocabularies.Common.v1.ChangedAt"
_CREATED_AT = "com.sap.vocabularies.Common.v1.CreatedAt"
_EQUAL_ONLY = frozenset({"SingleValue", "MultiValue", "SearchExpression"})
#: Names of properties that a service raises at each change, without case and underscores: of SAP
#: CAP, S/4HANA, Dynamics 365 and others. Most telling first.
CHANGED_AT_NAMES = (
    "lastchangedatetime", "lastchangedat", "lastchangedon", "lastmodifieddatetime", "lastmodifiedat",
    "lastmodifiedon", "lastmodified", "modifiedat", "modifiedon", "modifieddatetime", "changedat",
    "changedon", "updatedat", "updatedon", "lastupdatedat", "lastupdatedatetime", "lastupdated",
    "systemmodstamp", "sysmodifiedat",
)  # fmt: skip
#: The same of the time of creation.
CREATED_AT_NAMES = (
    "creationdatetime", "createdat", "createdon", "createddatetime", "createddate", "syscreatedat",
)  # fmt: skip


class SetAnnotations:
    """The annotations of one entity set, or, as a default, of its container."""

    def __init__(self, annotations: Annotations, target: str) -> None:
        self._own = annotations.get(target, {})
        self._container = annotations.get(target.rpartition("/")[0], {})

    def term(self, name: str) -> Any:
        """A term's value; None if there is none."""
        return self._own.get(name, self._container.get(name))

    def allows(self, term: str, part: str = "") -> bool:
        """False if a capability is refused."""
        capability = self.term(CAPABILITIES + term)
        if isinstance(capability, Mapping):
            capability = capability.get(part)
        return capability is not False

    def supports(self, term: str) -> bool:
        """True if a capability is announced."""
        capability = self.term(CAPABILITIES + term)
        return isinstance(capability, Mapping) and capability.get("Supported", True) is True

    def paths(self, term: str, part: str = "") -> list[str]:
        """Property paths that a term lists."""
        listed_paths = self.term(term)
        if part:
            listed_paths = listed_paths.get(part) if isinstance(listed_paths, Mapping) else None
        return [str(path) for path in listed_paths] if isinstance(listed_paths, list) else []

    def equal_only(self) -> list[str]:
        """Property paths that a filter may only compare by `eq`."""
        restrictions = self.term(CAPABILITIES + "FilterRestrictions")
        rules = (
            restrictions.get("FilterExpressionRestrictions")
            if isinstance(restrictions, Mapping)
            else None
        )
        return [
            str(rule.get("Property", ""))
            for rule in (rules if isinstance(rules, list) else [])
            if isinstance(rule, Mapping) and rule.get("AllowedExpressions") in _EQUAL_ONLY
        ]

    def required_filters(self) -> list[str]:
        """Property paths that a filter must name; `""`: any property."""
        restrictions = self.term(CAPABILITIES + "FilterRestrictions")
        if not isinstance(restrictions, Mapping):
            return []
        listed = self.paths(CAPABILITIES + "FilterRestrictions", "RequiredProperties")
        return listed or ([""] if restrictions.get("RequiresFilter") is True else [])


def timestamp_property(
    properties: Mapping[str, Property],
    annotations: Annotations,
    types: Iterable[str],
    *,
    created: bool = False,
) -> str | None:
    """The property with the time of a row's last change (or creation), if known."""
    term, usual_names = (
        (_CREATED_AT, CREATED_AT_NAMES) if created else (_CHANGED_AT, CHANGED_AT_NAMES)
    )
    fitting = {
        name: p
        for name, p in properties.items()
        if p.edm in TIMESTAMP_TYPES and not p.date_only and not p.collection
    }
    for name in fitting:
        if any(annotations.get(f"{kind}/{name}", {}).get(term) for kind in types):
            return name
    by_name = {name.replace("_", "").lower(): name for name in fitting}
    return next((by_name[name] for name in usual_names if name in by_name), None)
