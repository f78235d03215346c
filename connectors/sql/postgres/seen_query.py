"""SQL of what a PostgreSQL statement has seen, and of which server and timeline: `parse_seen` of the
PostgreSQL connector takes its value. Pure.

It is selected by the statement that reads the rows. Nothing that a connection said earlier holds for
it: a standby is promoted, and follows another timeline, under sessions that stay open, and a pooler
may put another server behind them.
"""

from __future__ import annotations

# Source: https://www.postgresql.org/docs/current/functions-info.html (control data functions), and
# functions-admin.html (pg_walfile_name begins with the timeline, and fails in recovery).
_RECOVERY_TIMELINE = (
    "greatest((pg_control_checkpoint()).timeline_id, "
    "(pg_control_recovery()).min_recovery_end_timeline)"
)
_PRIMARY_TIMELINE = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
_FUNCTIONS = (
    "pg_control_system()",
    "pg_control_checkpoint()",
    "pg_control_recovery()",
    "pg_walfile_name(pg_lsn)",
    "pg_current_wal_insert_lsn()",
)

SEEN = (
    "concat_ws(' ', pg_current_snapshot(), (pg_control_system()).system_identifier, "
    f"CASE WHEN pg_is_in_recovery() THEN 'r' || {_RECOVERY_TIMELINE} "
    f"ELSE 'p' || {_PRIMARY_TIMELINE} END)"
)
"""Snapshot, system identifier, and `r` (in recovery) with a decimal timeline or `p` with one of eight
hexadecimal digits. Volatile, so that a subquery that selects it is evaluated once per statement.
"""

SEEN_RESTRICTED = (
    "concat_ws(' ', pg_current_snapshot(), "
    "(extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint, "
    "CASE WHEN pg_is_in_recovery() THEN 'r0' ELSE 'p00000000' END)"
)
"""The same for a login that may not call the functions of SEEN: the time at which the server was
started stands for its identity, so that after a restart, and on each standby, it is another one.
"""

_NAMES = ", ".join(f"'{name}'" for name in _FUNCTIONS)
MAY_IDENTIFY = (
    "SELECT bool_and(coalesce(has_function_privilege(to_regprocedure(name)::oid, 'EXECUTE'), false)) "
    f"FROM unnest(ARRAY[{_NAMES}]) AS name"
)
"""Whether a login may select SEEN: every role may, unless EXECUTE was revoked."""
