"""Findings, with the statement that fixes each.

`judge` decides on facts, so that every case is tested without a server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect

from bridge.connector import Finding, ReadCheckpoint, System
from bridge.model.errors import ConfigurationError, HistoryLost, RetryLater
from connectors.postgres import ddl
from connectors.postgres.capture.slot import PLUGIN, decide, load, lsn_text, recovery_options
from connectors.postgres.capture.table_bindings import TableBindings
from connectors.postgres.catalog.table_defects import is_logged
from connectors.postgres.options import options_of, slot_name
from connectors.postgres.setup.replica_identity import table_findings, weak_identity
from connectors.postgres.setup.server_inspection import ServerFacts, inspect_server
from connectors.postgres.transport.control_connection import ControlConnection
from connectors.postgres.transport.copy_connection import CopyConnection, connect
from connectors.sql.postgres.address import application_name
from connectors.sql.write import ledger

_OLDEST_VERSION = 140000
#: SQLAlchemy publishes no type for it.
_dialect: Callable[[], Dialect] = postgresql.dialect


async def check(system: System) -> list[Finding]:
    """As `bridge.connector.Connector.check`. A server that can't be reached is a finding too."""
    try:
        connection = await connect(system, "check")
    except (ConfigurationError, RetryLater) as error:
        return [Finding(str(error))]
    try:
        findings = judge(await inspect_server(system, connection), system)
    finally:
        await connection.close()
    if not any(finding.fatal for finding in findings):
        # What is between (a pooler, pg_hba.conf) may refuse replication alone.
        try:
            await (await CopyConnection.open(system, "check", replication=True)).close()
        except (ConfigurationError, RetryLater) as error:
            findings.append(Finding(f"a replication connection is refused: {error}"))
    return findings


async def check_resuming(system: System, read_checkpoint: ReadCheckpoint) -> list[Finding]:
    """As `bridge.connector.ChecksResuming.check_resuming`."""
    side = await ControlConnection.open(system)
    try:
        findings = await _resuming(side, system, read_checkpoint)
        if any(finding.fatal for finding in findings):
            # Capture may have begun in between, and created the slot.
            findings = await _resuming(side, system, read_checkpoint)
        return findings
    finally:
        await side.close()


async def _resuming(
    side: ControlConnection, system: System, read_checkpoint: ReadCheckpoint
) -> list[Finding]:
    name = slot_name(system)
    # A running capture writes its checkpoint before the slot confirms it, and after the server has
    # written the WAL up to it: in this order none of the three can be past the next one.
    slot = await side.slot(name)
    checkpoint = await read_checkpoint()
    server = await side.server()
    resume = None if checkpoint is None else load(checkpoint)
    try:
        decide(slot, resume, server, name, system.name)
    except HistoryLost as error:
        return [Finding(str(error))]
    bindings = TableBindings(system, side.connection)
    bindings.resume({} if resume is None else resume.tables)
    await bindings.look_up()
    return [
        Finding(f"{reason}; it is compared with the log once capture runs", fatal=False)
        for reason in bindings.reasons
    ]


def judge(facts: ServerFacts, system: System) -> list[Finding]:
    """Every finding, the server's first."""
    return [
        *_server(facts),
        *_role(facts),
        *(Finding(f"system {system.name!r}: {text}") for text in facts.absent),
        *table_findings(facts, system),
        *_publication(facts, system),
        *_slot(facts, system),
        *_ledger(facts, system),
    ]


def _server(facts: ServerFacts) -> Iterator[Finding]:
    settings = facts.settings
    if facts.version < _OLDEST_VERSION:
        yield Finding(
            f"the server is PostgreSQL {facts.version // 10000}; 14 is the oldest that sends "
            "logical messages and binary values: upgrade it"
        )
    if facts.standby:
        yield Finding(
            "the server is a standby: watermarks and heartbeats are written, so `url` has to lead "
            "to the primary"
        )
    if settings.get("wal_level") != "logical":
        yield Finding(
            f"wal_level is {settings.get('wal_level')!r}: without 'logical' the WAL doesn't hold "
            "what changes are made of",
            ddl.set_system("wal_level", "logical", restart=True),
        )
    slots = int(settings.get("max_replication_slots", "0"))
    if facts.slot is None and facts.slots_used >= slots:
        yield Finding(
            f"all {slots} replication slots (max_replication_slots) are taken",
            ddl.set_system("max_replication_slots", str(slots + 5), restart=True),
        )
    senders = int(settings.get("max_wal_senders", "0"))
    if facts.senders_used >= senders and (facts.slot is None or facts.slot.active_pid is None):
        yield Finding(
            f"all {senders} WAL senders (max_wal_senders) are taken",
            ddl.set_system("max_wal_senders", str(senders + 5), restart=True),
        )
    if settings.get("max_slot_wal_keep_size") == "-1":
        yield Finding(
            "max_slot_wal_keep_size is unlimited: while the bridge isn't running, its slot keeps WAL "
            "until the disk is full and the legacy system stops; set it to what the disk can spare",
            ddl.set_system("max_slot_wal_keep_size", "50GB", restart=False),
            fatal=False,
        )


def _role(facts: ServerFacts) -> Iterator[Finding]:
    if not facts.replication:
        yield Finding(
            f"role {facts.role!r} may not replicate",
            ddl.allow_replication(facts.role) + "; -- on Amazon RDS: GRANT rds_replication "
            f"TO {facts.role}",
        )


def _publication(facts: ServerFacts, system: System) -> Iterator[Finding]:
    name = options_of(system).publication
    tables = [
        table.quoted
        for table in facts.tables
        if is_logged(table) and not weak_identity(table, facts)
    ]
    publication = facts.publication
    if publication is None:
        if tables:
            yield Finding(
                f"publication {name!r} does not exist",
                ddl.create_publication(name, tables),
                create=True,
            )
        return
    if publication.all_tables:
        yield Finding(
            f"publication {name!r} is FOR ALL TABLES: in every table without a replica identity, "
            "those of the future included, the legacy system's own UPDATE and DELETE fail",
            ddl.list_tables(name, tables),
            fatal=False,
        )
    if not publication.whole:
        yield Finding(
            f"publication {name!r} leaves out operations: inserts, updates, deletes and truncates "
            "are all needed",
            ddl.publish_all_operations(name),
            create=True,
        )
    if not publication.via_root and any(table.kind == "p" for table in facts.tables):
        yield Finding(
            f"publication {name!r} sends changes under the partitions' names, not their root's",
            ddl.publish_via_root(name),
            create=True,
        )


def _slot(facts: ServerFacts, system: System) -> Iterator[Finding]:
    name = slot_name(system)
    slot = facts.slot
    if slot is None:
        yield Finding(
            f"replication slot {name!r} does not exist; it is created when capture first starts",
            ddl.create_slot(name),
            fatal=False,
            create=True,
        )
        return
    if slot.plugin != PLUGIN or slot.kind != "logical":
        yield Finding(
            f"replication slot {name!r} is a {slot.kind} slot of plugin {slot.plugin or 'none'}, "
            "not of pgoutput: choose another name in `capture: {slot: ...}`"
        )
        return
    if slot.database != facts.database:
        yield Finding(
            f"replication slot {name!r} belongs to database {slot.database!r}: choose another name "
            "in `capture: {slot: ...}`"
        )
    if slot.wal_status == "lost":
        yield Finding(
            f"replication slot {name!r} has lost its WAL (it had confirmed "
            f"{lsn_text(slot.confirmed or 0)}). {recovery_options(system.name, name)}",
            ddl.drop_slot(name),
        )
    elif slot.wal_status == "unreserved":
        yield Finding(
            f"replication slot {name!r} is about to lose its WAL (wal_status 'unreserved'): let "
            "capture run now, and raise max_slot_wal_keep_size",
            ddl.set_system("max_slot_wal_keep_size", "50GB", restart=False),
            fatal=False,
        )
    # What capture itself is called: this bridge runs.
    if slot.active_pid is not None and facts.slot_user != application_name(system, "source"):
        who = f" ({facts.slot_user})" if facts.slot_user else ""
        yield Finding(
            f"replication slot {name!r} is in use by server process {slot.active_pid}{who}: one "
            "bridge reads it at a time",
            fatal=False,
        )


def _ledger(facts: ServerFacts, system: System) -> Iterator[Finding]:
    if not system.commands:
        return
    if facts.ledger is None:
        yield Finding(
            f"the command ledger {ledger.LEDGER_TABLE!r} is missing: no command can be carried out",
            ledger_sql(),
            create=True,
        )
    elif not facts.ledger_granted:
        yield Finding(
            f"role {facts.role!r} may not read and write the command ledger {facts.ledger!r}",
            ddl.grant_ledger(facts.ledger, facts.role),
        )


def ledger_sql() -> str:
    """The statement that makes the ledger."""
    return " ".join(ledger.create_sql(_dialect()).split())
