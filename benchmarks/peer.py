"""The peer: `pg_recvlogical`, PostgreSQL's own client, writing a slot to a file."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psycopg


def slot(url: str, name: str) -> None:
    """A slot of pgoutput's, which begins now."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (name,))


def end(url: str) -> str:
    """The position behind everything that was committed."""
    with psycopg.connect(url, autocommit=True) as db:
        row = db.execute("select pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        # pg_recvlogical ends at the first message behind its end position.
        db.execute("select pg_logical_emit_message(false, 'benchmark', 'end')")
        return str(row[0])


def drain(url: str, name: str, *, publication: str, upto: str, bindir: Path, file: Path) -> float:
    """Seconds that pg_recvlogical takes to write the slot up to `upto` to `file`."""
    command = [
        str(bindir / "pg_recvlogical"), "-d", url, "--slot", name, "--start", "-f", str(file),
        "--endpos", upto, "--no-loop", "--fsync-interval=0",
        "-o", "proto_version=1", "-o", f"publication_names={publication}",
        "-o", "binary=true", "-o", "messages=true",
    ]  # fmt: skip
    begin = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, "PGAPPNAME": "peer"})
    return time.perf_counter() - begin
