"""Whether the connection to a database may be read, or answered by somebody else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bridge.connector import System, TransportRisk
from bridge.model.loopback import is_loopback
from connectors.sql.postgres.address import libpq_url

#: libpq's own (https://www.postgresql.org/docs/current/libpq-ssl.html): encrypted where the server
#: wants it, whoever that is.
DEFAULT_SSLMODE: Final = "prefer"
_VERIFYING: Final = frozenset({"verify-ca", "verify-full"})


def transport_risks(
    system: System, environ: Mapping[str, str] = os.environ
) -> Iterator[TransportRisk]:
    """An `sslmode` that verifies nothing, of a database on another machine."""
    try:
        settings = conninfo_to_dict(libpq_url(system.url))
    except psycopg.Error:
        return  # It is reported as no address when it is connected to.
    mode = str(settings.get("sslmode") or environ.get("PGSSLMODE") or DEFAULT_SSLMODE)
    root = settings.get("sslrootcert") or environ.get("PGSSLROOTCERT")
    # With a root certificate `require` verifies as `verify-ca` does.
    if mode in _VERIFYING or (mode == "require" and root):
        return
    hosts = str(settings.get("host") or settings.get("hostaddr") or environ.get("PGHOST") or "")
    away = [host for host in hosts.split(",") if host and not _is_local(host)]
    if not away:
        return
    encrypted = "may be unencrypted" if mode != "require" else "is encrypted"
    by_default = "" if "sslmode" in settings or environ.get("PGSSLMODE") else ", the default"
    yield TransportRisk(
        ("url",),
        f"sslmode={mode}{by_default}: the connection to {', '.join(away)} {encrypted}, and nobody "
        "verifies which server answers",
        "add sslmode=verify-full&sslrootcert=/PATH/ca.pem to `url` (verify-ca where the certificate "
        "has another host name); only what stays on this machine needs none",
    )


def _is_local(host: str) -> bool:
    """A socket's folder, or this machine."""
    return host.startswith(("/", "@")) or is_loopback(host)
