"""What the `capture:` section of a system's file may say."""

from pydantic import BaseModel, ConfigDict, Field


class TicketdeskOptions(BaseModel):
    """Options of capture."""

    model_config = ConfigDict(extra="forbid")

    interval: float = Field(1.0, gt=0, description="Seconds between two polls.")
    overlap: float = Field(
        5.0,
        ge=0,
        description="Seconds that each poll reads again: the longest transaction of a user.",
    )
    compare_every: float = Field(
        600.0, gt=0, description="Seconds between two comparisons of keys, which find deletes."
    )
