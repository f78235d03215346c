"""Judges a replication slot's state for a source that begins. Pure.

A slot silently skips what it has confirmed, so every case that could hide a change is an alarm. Positions
that a bridge confirms are one below the end of a WAL record and so never a multiple of eight, while
PostgreSQL makes slots at record ends, which always are: that distinguishes a fresh slot from one that
another log has already consumed (docs/decisions/2026-11-22-postgres-slot-marks.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, LiteralString

from bridge.connector import Checkpoint
from bridge.model.errors import ConfigurationError, HistoryLost

PLUGIN = "pgoutput"
_WAL_ALIGNMENT_BYTES = 8
#: So many tables' oids fit into a checkpoint; of more, none are remembered over a restart.
_MAX_BINDINGS = 400
#: Of `pg_replication_slots s`, as `slot_of` takes them.
SLOT_COLUMNS: LiteralString = (
    "s.slot_name, s.plugin, s.slot_type, s.database, CASE WHEN s.active THEN s.active_pid END,"
    " s.confirmed_flush_lsn::text, s.restart_lsn::text, s.wal_status, s.two_phase"
)


@dataclass(frozen=True, slots=True)
class ReplicationSlot:
    """A row of pg_replication_slots. `confirmed` and `restart` are LSNs as numbers."""

    name: str
    plugin: str | None
    kind: str
    database: str | None
    active_pid: int | None
    confirmed: int | None
    restart: int | None
    wal_status: str | None
    two_phase: bool = False


def slot_of(row: Sequence[Any]) -> ReplicationSlot:
    """The slot in the first nine columns of `SLOT_COLUMNS`."""
    confirmed, restart = (lsn_number(text) if text else None for text in row[5:7])
    return ReplicationSlot(
        row[0], row[1], row[2], row[3], row[4], confirmed, restart, row[7], row[8]
    )


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """Which server answered, where its WAL ends (flushed), and after how many seconds without a message
    from the client it ends the stream (0: never).
    """

    identifier: str
    wal_end: int
    database: str
    sender_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Binding:
    """The oids of a table and of its entry in the publication (0: it wasn't published for a while)."""

    table: int
    entry: int


@dataclass(frozen=True, slots=True)
class SlotCheckpoint:
    """A checkpoint's content: start replication at `lsn`, leave out `steps` of the transaction
    that commits there. `system` is the cluster's identifier. `tables`: which tables the configured
    names led to; none in the checkpoints of earlier releases.
    """

    lsn: int
    steps: int
    system: str
    tables: Mapping[str, Binding] = field(default_factory=dict)

    def dump(self, tables: str | None = None) -> Checkpoint:
        """The checkpoint's bytes. `tables`: what `tables_text` makes of its tables, where that is
        known: a checkpoint is written for each batch, and they hardly ever change.
        """
        head = json.dumps(
            {"lsn": lsn_text(self.lsn), "steps": self.steps, "system": self.system},
            separators=(",", ":"),
        )
        text = tables_text(self.tables) if tables is None else tables
        return (f'{head[:-1]},"tables":{text}}}' if text else head).encode()


def tables_text(tables: Mapping[str, Binding]) -> str:
    """The tables as a checkpoint has them; empty for none, or for too many."""
    if not 0 < len(tables) <= _MAX_BINDINGS:
        return ""
    bindings = {name: [oids.table, oids.entry] for name, oids in tables.items()}
    return json.dumps(bindings, separators=(",", ":"))


def load(checkpoint: Checkpoint) -> SlotCheckpoint:
    """The content of a checkpoint. Raises ConfigurationError for another connector's."""
    try:
        document: dict[str, Any] = json.loads(checkpoint)
        bindings: dict[str, list[int]] = document.get("tables") or {}
        return SlotCheckpoint(
            lsn_number(document["lsn"]),
            int(document["steps"]),
            str(document["system"]),
            {name: Binding(int(table), int(entry)) for name, (table, entry) in bindings.items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "the checkpoint in the log is not one of the connector 'postgres' "
            f"({type(error).__name__}): was this system's `connector` changed? Give the system "
            "another name"
        ) from None


def lsn_text(lsn: int) -> str:
    """`16/B374D848`, as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """The number of an LSN's text. Raises ValueError when it isn't one."""
    high, slash, low = text.partition("/")
    if not slash:
        raise ValueError(text)
    return (int(high, 16) << 32) | int(low, 16)


def confirmed_lsn(lsn: int) -> int:
    """What to confirm when everything before `lsn` is durable: the byte before it, which skips
    the same transactions and is never aligned.
    """
    return lsn - 1 if lsn % _WAL_ALIGNMENT_BYTES == 0 else lsn


def start_replication(slot: str, publication: str, lsn: int, *, binary: bool) -> str:
    """The statement that starts the stream at `lsn`, with logical messages."""
    quoted = publication.replace('"', '""').replace("'", "''")
    return (
        f'START_REPLICATION SLOT "{slot}" LOGICAL {lsn_text(lsn)} '
        f"(proto_version '1', publication_names '\"{quoted}\"', "
        f"messages 'true', binary '{'true' if binary else 'false'}')"
    )


Begin = Literal["create", "wait", "start"]


def decide(
    slot: ReplicationSlot | None,
    resume: SlotCheckpoint | None,
    server: ServerIdentity,
    name: str,
    system: str,
) -> Begin:
    """What to do to begin: create the slot, wait for another instance to let go, or start.

    Raises HistoryLost with both positions and the recovery options, ConfigurationError for a slot that
    belongs to something else.
    """
    where = f"system {system!r}: replication slot {name!r}"
    out = recovery_options(system, name, exists=slot is not None)
    if resume is not None and resume.system != server.identifier:
        raise HistoryLost(
            f"{where}: the log's checkpoint {lsn_text(resume.lsn)} was written for the database "
            f"cluster {resume.system}, and `url` now leads to the cluster {server.identifier}, "
            f"whose WAL ends at {lsn_text(server.wal_end)}. {out}"
        )
    if resume is not None and resume.lsn - 1 > server.wal_end:
        raise HistoryLost(
            f"{where}: the log's checkpoint is {lsn_text(resume.lsn)}, but the server's WAL ends "
            f"at {lsn_text(server.wal_end)}: it was restored from an older state. "
            f"{out}"
        )
    if slot is None:
        if resume is None:
            return "create"
        raise HistoryLost(
            f"{where} does not exist, but the log has a checkpoint at {lsn_text(resume.lsn)} (the "
            f"server's WAL ends at {lsn_text(server.wal_end)}): changes since then can no longer "
            f"be read. {out}"
        )
    _ours(slot, server, where)
    if slot.wal_status == "lost" or slot.confirmed is None:
        begin = "none" if resume is None else lsn_text(resume.lsn)
        raise HistoryLost(
            f"{where} has lost its WAL (wal_status {slot.wal_status!r}, confirmed "
            f"{lsn_text(slot.confirmed or 0)}, the log's checkpoint: {begin}): the server removed "
            f"it, see max_slot_wal_keep_size. {out}"
        )
    if resume is None and slot.confirmed % _WAL_ALIGNMENT_BYTES:
        raise HistoryLost(
            f"{where} has already been consumed up to {lsn_text(slot.confirmed)}, but this log has "
            "no checkpoint (position none): what another log has read would be missing here "
            f"without a word. {out}"
        )
    if resume is not None and slot.confirmed > resume.lsn:
        raise HistoryLost(
            f"{where} stands at {lsn_text(slot.confirmed)}, past the log's checkpoint at "
            f"{lsn_text(resume.lsn)}: PostgreSQL would skip what lies between without a word. "
            f"{out}"
        )
    return "start" if slot.active_pid is None else "wait"


def _ours(slot: ReplicationSlot, server: ServerIdentity, where: str) -> None:
    if slot.kind != "logical" or slot.plugin != PLUGIN:
        raise ConfigurationError(
            f"{where} is a {slot.kind} slot of plugin {slot.plugin or 'none'}, not of pgoutput: "
            "choose another name in `capture: {slot: ...}`"
        )
    if slot.database != server.database:
        raise ConfigurationError(
            f"{where} belongs to database {slot.database!r}, and `url` leads to "
            f"{server.database!r}: choose another name in `capture: {{slot: ...}}`"
        )
    if slot.two_phase:
        raise ConfigurationError(
            f"{where} was created with two_phase, which sends transactions before they commit: drop "
            f"it with SELECT pg_drop_replication_slot({slot.name!r}); or choose another name"
        )


def recovery_options(system: str, slot: str, *, exists: bool = True) -> str:
    """The recovery options; the same text wherever history is lost."""
    drop = f"drop the slot (SELECT pg_drop_replication_slot('{slot}')), then " if exists else ""
    return (
        "Recovery options: if another log holds what this slot has already sent, carry it over with "
        f"`bridgectl log copy`; otherwise {drop}run `bridgectl snapshot {system} --accept-loss`, "
        "which starts again and takes every entity as `bridgectl snapshot --reconcile` does, with "
        "the deletes that were missed"
    )
