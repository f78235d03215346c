"""A `tls:` section: resolves its paths relative to the file that names them, and its secret."""

from __future__ import annotations

from pathlib import Path

from bridge.config.collector import Collector
from bridge.config.document import Document, KeyPath
from bridge.config.models import TlsModel
from bridge.tls import TlsFiles


def tls_files(
    collector: Collector, document: Document, model: TlsModel | None, where: KeyPath, folder: Path
) -> TlsFiles | None:
    """The section in the form that clients use; problems are added to the collector."""
    if model is None:
        return None
    password = ""
    if model.key_password:
        here = (*where, "key_password")
        password = collector.secret(document, here, model.key_password, folder).reveal()

    def file(name: str) -> str:
        return str(folder / name) if name else ""

    return TlsFiles(file(model.ca), file(model.certificate), file(model.key), password)
