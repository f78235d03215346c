"""Whether a login is sent over a network in clear text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from bridge.connector import TransportRisk
from bridge.model.loopback import is_loopback


def plain_login(url: str, where: tuple[str, ...]) -> Iterator[TransportRisk]:
    """The risk of a login at this address, if it is plain http to another machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return  # The connection itself reports an invalid address.
    if parts.scheme == "http" and host and not is_loopback(host):
        yield TransportRisk(
            where,
            f"the login goes to {host} over plain http, and the data comes from there",
            "use https://, with `tls: {ca: FILE}` where the authority is the company's own; everybody "
            "on the way can read the password, unless it stays on this machine (127.0.0.0/8, ::1, "
            "localhost)",
        )
