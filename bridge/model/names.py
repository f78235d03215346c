"""Names and the topics derived from them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Container

from bridge.model.errors import ConfigurationError

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

#: Topics that people and other programs read, beside the change topics.
COMMANDS, RECEIPTS, APPROVALS, AUDIT, SEALS, DEAD = (
    "commands",
    "receipts",
    "approvals",
    "audit",
    "seals",
    "dead",
)
SYSTEM_TOPICS = frozenset({COMMANDS, RECEIPTS, APPROVALS, AUDIT, SEALS, DEAD})
#: Internal topics: checkpoints of sources, their status, requests to them.
POSITIONS, STATUS, CONTROL = "positions", "status", "control"
#: Internal topics: schemas of the embedded registry; what the log remembers of a registry's ids.
SCHEMAS, SCHEMA_IDS = "schemas", "schema_ids"
#: Internal topics: how far a copy of a log is; notes of replays.
COPIED, REPLAYS = "copied", "replays"
#: Internal topic: who owns each system's reads, where that is a process of its own.
GATEWAYS = "gateways"


def as_name(text: str, taken: Container[str] = ()) -> str:
    """A valid name made of a source's own: `OrderNo` -> `order_no`, `Auftrag-Nr.` -> `auftrag_nr`;
    with a number appended if it is in `taken`.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain)
    base_name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:60].strip("_")
    if not base_name[:1].isalpha():
        base_name = f"x_{base_name}".rstrip("_")
    names = itertools.chain(
        [base_name], (f"{base_name[:58]}_{number}" for number in itertools.count(2))
    )
    return next(name for name in names if name not in taken)


def check_name(name: str, what: str) -> str:
    """Return `name` if it is valid, else raise ConfigurationError naming `what`."""
    if not NAME.fullmatch(name):
        message = (
            f"{what} {name!r} is not a valid name: use a lower-case letter, then up to 62 "
            "lower-case letters, digits or underscores"
        )
        raise ConfigurationError(message)
    return name


def change_topic(bridge: str, system: str, entity: str) -> str:
    """The topic of an entity's changes."""
    return f"{bridge}.{system}.{entity}"


def system_topic(bridge: str, which: str) -> str:
    """A topic every bridge has: one of `FIXED`."""
    return f"{bridge}.{which}"


def internal_topic(bridge: str, which: str) -> str:
    """A topic for the bridge's own state."""
    return f"_{bridge}.{which}"


def replay_topic(bridge: str, agent: str) -> str:
    """The topic of the events that operators replay into one agent."""
    return internal_topic(bridge, f"replay.{agent}")


def split_entity(qualified: str) -> tuple[str, str]:
    """`erp.sales_order` -> (`erp`, `sales_order`); raises ConfigurationError otherwise."""
    system, dot, entity = qualified.partition(".")
    if not dot or not NAME.fullmatch(system) or not NAME.fullmatch(entity):
        message = f"{qualified!r} does not name an entity: write it as system.entity"
        raise ConfigurationError(message)
    return system, entity
