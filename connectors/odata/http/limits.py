"""Limits for requests to a service, and how long to wait for an answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MIN_IN_DOUBT_S = 120.0
"""Seconds after which most servers give up a request (IIS and Dynamics 365 after two minutes)."""


class HttpLimits(BaseModel):
    """The options of the `capture:` mapping for HTTP; they apply to reads and commands, too."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    timeout: float = Field(default=30, gt=0, le=600, description="Seconds to wait for an answer.")
    in_doubt_timeout: float | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Seconds after which a command whose answer was lost has taken effect or never "
        "will: at least as long as the service, and any proxy before it, may work on a request. "
        "Default: twice `timeout`, and at least 120.",
    )
    max_url_length: int = Field(
        default=2000, ge=200, le=100_000, description="Maximum characters of a URL."
    )
    max_batch_requests: int = Field(
        default=100, ge=1, le=10_000, description="Maximum requests of a $batch."
    )
    max_keys_per_read: int = Field(
        default=1000, ge=1, le=100_000, description="Maximum keys of one lookup."
    )

    @property
    def effective_in_doubt_timeout(self) -> float:
        """`in_doubt_timeout`, or its default: a service is assumed to work on a request as long as the
        bridge waits for its answer, and most servers give up after two minutes or less.
        """
        if self.in_doubt_timeout is not None:
            return self.in_doubt_timeout
        return max(MIN_IN_DOUBT_S, 2 * self.timeout)


def batch_size(limits: HttpLimits, batch_operations: int) -> int:
    """Maximum requests of a `$batch`, of which a system may allow fewer (0: it doesn't say)."""
    return min(limits.max_batch_requests, batch_operations or limits.max_batch_requests)


def limits_of(options: Any) -> HttpLimits:
    """The limits of the options; the defaults if there are none."""
    return options if isinstance(options, HttpLimits) else HttpLimits()
