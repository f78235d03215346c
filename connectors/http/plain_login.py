"""Whether a login crosses a network in clear. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from bridge.connector import TransportRisk
from bridge.model.loopback import is_loopback


def plain_login(url: str, where: tuple[str, ...]) -> Iterator[TransportRisk]:
    """The risk of a login at this address, where that is plain http to another machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return  # Whoever connects to it reports that it is no address.
    if parts.scheme == "http" and host and not is_loopback(host):
        yield TransportRisk(
            where,
            f"the login goes to {host} over plain http, and the data comes from there",
            "use https://, with `tls: {ca: FILE}` where the authority is the company's own; everybody "
            "on the way can read the password, unless it stays on this machine (127.0.0.0/8, ::1, "
            "localhost)",
        )
