"""A `gateway:` section: where the process that reads a system for all others is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bridge.config.collector import Collector
from bridge.config.document import Document
from bridge.config.models import GatewayModel
from bridge.config.models_to_specs import duration_ms
from bridge.config.secrets import Secret
from bridge.config.tls_section import tls_files
from bridge.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The section, resolved.

    socket: None with `host`, and where the file doesn't say it. host, port: of TCP. lease_s: how long
    an owner owns the system after each renewal.
    """

    socket: Path | None
    host: str
    port: int
    tls: TlsFiles | None
    token: Secret
    lease_s: float


def gateway_config(
    collector: Collector, document: Document, model: GatewayModel | None, folder: Path
) -> GatewayConfig | None:
    """The section of a system's file; problems are added to the collector."""
    if model is None:
        return None
    host, _, port = (model.tcp or ":0").rpartition(":")
    token = Secret("")
    if model.token:
        token = collector.secret(document, ("gateway", "token"), model.token, folder)
    return GatewayConfig(
        socket=folder / model.socket if model.socket else None,
        host=host.strip("[]"),
        port=int(port),
        tls=tls_files(collector, document, model.tls, ("gateway", "tls"), folder),
        token=token,
        lease_s=duration_ms(model.lease) / 1000,
    )
