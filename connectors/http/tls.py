"""The TLS context of a system that is reached over HTTP."""

from __future__ import annotations

import ssl

from bridge.connector import System
from bridge.model.errors import ConfigurationError
from bridge.tls import UnusableTlsFiles, tls_context


def http_tls(system: System) -> ssl.SSLContext:
    """By `tls:` of its file. Raises ConfigurationError."""
    try:
        return tls_context(system.tls)
    except UnusableTlsFiles as error:
        raise ConfigurationError(f"system {system.name!r}: {error}") from None
