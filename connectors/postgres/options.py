"""The `capture:` mapping of a PostgreSQL system."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bridge.connector import System

SlotName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,63}$")]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


class PostgresOptions(BaseModel):
    """How changes are captured. Times are in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    publication: Identifier = Field(
        default="bridge", description="The publication that lists the tables"
    )
    slot: SlotName | None = Field(
        default=None,
        description="The replication slot, this bridge's alone; default: bridge_SYSTEM",
    )
    heartbeat: float = Field(
        default=10.0,
        ge=0.1,
        le=3600.0,
        description="How often an idle source writes a logical message, so that its slot moves on",
    )
    slot_wait: float = Field(
        default=30.0,
        ge=0.0,
        le=3600.0,
        description="How long to wait for a slot that another instance still holds",
    )
    connect_timeout: int = Field(default=10, ge=2, le=300, description="For one connection")
    answer_timeout: float = Field(
        default=30.0,
        ge=0.5,
        le=3600.0,
        description="How long the server may take for one answer (other than a snapshot's)",
    )


def options_of(system: System) -> PostgresOptions:
    """The validated options of a system; defaults where the file gives none."""
    return system.options if isinstance(system.options, PostgresOptions) else PostgresOptions()


def slot_name(system: System) -> str:
    """The configured slot, or `bridge_SYSTEM`."""
    return options_of(system).slot or f"bridge_{system.name}"[:63]
