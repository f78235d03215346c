"""What may be asked of a service at once, and how long an answer is waited for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class HttpLimits(BaseModel):
    """The part of the `capture:` mapping that is about HTTP, for reads and commands too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout: float = Field(
        default=30, gt=0, le=600, description="Seconds that an answer is waited for."
    )
    settle: float = Field(
        default=60,
        ge=0,
        le=3600,
        description="Seconds after which a command whose answer was lost has happened or never "
        "will: how long the service, and what stands before it, may still work on a request.",
    )
    url_length: int = Field(
        default=2000, ge=200, le=100_000, description="Characters that a URL may have at most."
    )
    batch: int = Field(
        default=100, ge=1, le=10_000, description="Requests that a $batch may hold at most."
    )
    read_keys: int = Field(
        default=1000, ge=1, le=100_000, description="Keys that one lookup may carry at most."
    )


def limits_of(options: Any) -> HttpLimits:
    """Those that the options hold; the defaults where there are none."""
    return options if isinstance(options, HttpLimits) else HttpLimits()
