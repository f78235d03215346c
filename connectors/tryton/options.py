"""What a system's file says under `capture:` and `login:`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class TrytonOptions(BaseModel):
    """The `capture:` mapping of a system with this connector."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    poll_seconds: float = Field(
        default=2.0, ge=0.05, le=3600, description="How often to look for changes."
    )
    overlap_seconds: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        description="How long a transaction of the ERP may last: rows carry the time at which it "
        "began, so that this much of the past is looked at again.",
    )
    overlap_every_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="How often the whole overlap is looked at; in between only its last tenth.",
    )
    reconcile_minutes: float = Field(
        default=10.0,
        gt=0,
        le=525_600,
        description="How often the ids of each model are listed: deletions that ir.model.log "
        "doesn't tell are found by this alone.",
    )
    page: int = Field(default=1000, ge=1, le=10_000, description="Rows of one remote call.")
    timeout_seconds: float = Field(
        default=60.0, ge=1, le=3600, description="How long to wait for an answer."
    )
    context: dict[str, Any] = Field(
        default_factory=dict, description="Added to the user's context in every call."
    )
    contexts: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Added for one model, such as `product.product: {locations: [4]}`, by which "
        "its function fields are computed.",
    )
    settle_seconds: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="After how long a command whose answer was lost has happened or never will.",
    )


class TrytonLogin(BaseModel):
    """The `login:` mapping: a user's name and password, where they don't stand in `url`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    user: str = Field(min_length=1)
    password: SecretStr
