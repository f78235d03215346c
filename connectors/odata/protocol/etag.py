"""A row's version: its ETag. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.errors import Rejected
from connectors.odata.protocol.request import Headers


def etag_of(row: Mapping[str, Any], headers: Headers | None = None) -> str | None:
    """The row's ETag, from its JSON or from the answer's headers. Raises Rejected (`bad_etag`)."""
    metadata = row.get("__metadata")
    etag = row.get("@odata.etag") or row.get("@etag")
    if not etag and isinstance(metadata, Mapping):
        etag = metadata.get("etag")
    etag = etag or (headers or {}).get("etag") or None
    if etag is not None and not (isinstance(etag, str) and etag.isascii() and etag.isprintable()):
        raise Rejected("bad_etag", "the row's ETag can't be sent in a request")
    return etag
