"""Header names of records in the log: CloudEvents 1.0, Kafka binary mode, and our own."""

from __future__ import annotations

SPECVERSION = "ce_specversion"
ID = "ce_id"
SOURCE = "ce_source"
TYPE = "ce_type"
TIME = "ce_time"
CAUSATION = "ce_causationid"
CONTENT_TYPE = "content-type"
TRACEPARENT = "traceparent"
REPLAY = "bridge_replay"
DIGEST, OUTCOME = "bridge_digest", "bridge_outcome"
"""Of a receipt that counts for its command's id: the command's digest, and its outcome.
`unknown_outcome`: it may have taken effect; WITHDRAWN: an earlier intent no longer applies;
DISPUTED: the ledger doesn't confirm a reported success; HELD: it waits.
"""
WITHDRAWN, DISPUTED, HELD = b"withdrawn", b"disputed", b"held"
HELD_SINCE = "bridge_held"
"""Of a receipt of a waiting command: the timestamp of the command's own record, by which it is
found again.
"""
INTENT = "bridge_intent"
"""Of a receipt of a command that is about to be executed (an intent): its writer, and a number."""

AVRO = b"application/avro"
SPECVERSION_1_0 = b"1.0"


def event_id(system: str, position: str) -> str:
    """The CloudEvents id of a change."""
    return f"{system}:{position}"


def event_type(bridge: str, system: str, entity: str, op: str) -> str:
    """The CloudEvents type of a change."""
    return f"{bridge}.{system}.{entity}.{op}"


def event_source(bridge: str, system: str) -> str:
    """The CloudEvents source of a system's changes: a URI reference."""
    return f"/{bridge}/{system}"
