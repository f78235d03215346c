"""The `capture:` and `login:` mappings of a system file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class TrytonOptions(BaseModel):
    """The `capture:` mapping of a system with this connector."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    poll: float = Field(default=2.0, ge=0.05, le=3600, description="Seconds between two polls.")
    overlap: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="Seconds that a transaction of the ERP may last: rows carry the time at which it "
        "began, so that each complete poll reads this much of the past again.",
    )
    overlap_interval: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Seconds between two complete polls, which read the whole overlap; others read its last tenth.",
    )
    reconcile: float = Field(
        default=600.0,
        gt=0,
        le=30 * 86_400,
        description="Seconds between two listings of each model's ids: deletions that ir.model.log "
        "doesn't have are found only by this.",
    )
    page: int = Field(default=1000, ge=1, le=10_000, description="Rows per remote call.")
    timeout: float = Field(
        default=60.0, ge=1, le=3600, description="Seconds to wait for an answer."
    )
    context: dict[str, Any] = Field(
        default_factory=dict, description="Added to the user's context in every call."
    )
    contexts: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Added for one model, such as `product.product: {locations: [4]}`, by which "
        "its function fields are computed.",
    )
    in_doubt_timeout: float | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="Seconds after which a command whose answer was lost has taken effect or never will; "
        "default: as `overlap`, because it may wait for a transaction that lasts as long.",
    )


class TrytonLogin(BaseModel):
    """The `login:` mapping: a user's name and password, if they are not in `url`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    user: str = Field(min_length=1)
    password: SecretStr
