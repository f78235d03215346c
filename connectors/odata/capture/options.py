"""The `capture:` mapping of a system with this connector."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from connectors.odata.http.limits import HttpLimits

DetectionMethod = Literal["delta", "changed", "listing"]


class EntitySetOptions(BaseModel):
    """Options of one entity set."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    change_detection: DetectionMethod | None = Field(
        default=None,
        description="How changes are detected; default: the best method that the service offers.",
    )
    changed: str = Field(
        default="", description="Property that every change raises; default: found by its name."
    )
    created: str = Field(
        default="", description="Property with the time of creation; default: found by its name."
    )


class ODataOptions(HttpLimits):
    """Options of capture, and limits for requests to the service."""

    service: Literal["dataverse", "business_central", "other"] | None = Field(
        default=None,
        description="Kind of the service, whose published limits hold; default: by its host.",
    )

    poll: float = Field(default=5, ge=0.01, le=86_400, description="Seconds between two polls.")
    overlap: float = Field(
        default=30,
        ge=0,
        le=86_400,
        description="Seconds after a change's timestamp in which it may still become "
        "visible (change fields only): so far back every poll begins.",
    )
    reconcile: float = Field(
        default=600,
        ge=0.1,
        le=30 * 86_400,
        description="Seconds between two comparisons for deletions, where the service reports none.",
    )
    page: int = Field(default=1000, ge=1, le=100_000, description="Rows per request (maxpagesize).")
    max_listed_rows: int = Field(
        default=100_000,
        ge=0,
        le=10_000_000,
        description="Rows up to which a set without any change feed is kept in memory to be "
        "compared at each poll; larger ones are compared with the log every `reconcile` seconds.",
    )
    sets: dict[str, EntitySetOptions] = Field(
        default_factory=dict, description="Options per entity set."
    )

    def of(self, table: str) -> EntitySetOptions:
        """The options of one entity set."""
        return self.sets.get(table, EntitySetOptions())


def options_of(options: Any) -> ODataOptions:
    """The validated options; the defaults where the configuration has none."""
    return (
        options if isinstance(options, ODataOptions) else ODataOptions.model_validate(options or {})
    )
