"""What may be asked of a service at once, and how long an answer is waited for."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MIN_IN_DOUBT_S = 120.0
"""Seconds in which most servers have given a request up (IIS and Dynamics 365 after two minutes)."""


class HttpLimits(BaseModel):
    """The part of the `capture:` mapping that is about HTTP, for reads and commands too."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timeout: float = Field(
        default=30, gt=0, le=600, description="Seconds that an answer is waited for."
    )
    in_doubt_timeout: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Seconds after which a command whose answer was lost has happened or never "
        "will: at least as long as the service, and what stands before it, may work on a request. "
        "Default: twice `timeout`, and at least 120.",
    )
    max_url_length: int = Field(
        default=2000, ge=200, le=100_000, description="Characters that a URL may have at most."
    )
    max_batch_requests: int = Field(
        default=100, ge=1, le=10_000, description="Requests that a $batch may hold at most."
    )
    max_keys_per_read: int = Field(
        default=1000, ge=1, le=100_000, description="Keys that one lookup may carry at most."
    )

    @property
    def effective_in_doubt_timeout(self) -> float:
        """`in_doubt_timeout`, or its default: a service is thought to work on a request for as long as
        its answer is waited for, and most servers give up after two minutes or less.
        """
        if self.in_doubt_timeout is not None:
            return self.in_doubt_timeout
        return max(MIN_IN_DOUBT_S, 2 * self.timeout)


def limits_of(options: Any) -> HttpLimits:
    """Those that the options hold; the defaults where there are none."""
    return options if isinstance(options, HttpLimits) else HttpLimits()
