"""Addresses of HTTP services, checked before libraries parse them in their own ways."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_MAX_HOST = 253
_LABEL = re.compile(r"[^\s.:/?#@\[\]%\\]{1,63}")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")


def split_web_address(url: str) -> SplitResult:
    """The parts of `http(s)://[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`.

    Raises ValueError, without the address (it may hold a password), for anything that an HTTP client
    would refuse later: another scheme, no host or an invalid one, an invalid port, blanks and
    control characters.
    """
    if _UNPRINTABLE.search(url):
        raise ValueError("it holds a blank or a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Its message may quote what is before the host, a password among it.
        raise ValueError("its host or port can't be read") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError("it doesn't begin with http:// or https://")
    if parts.netloc.endswith(":"):
        raise ValueError("it has a colon without a port")
    if port == 0:
        raise ValueError("its port is 0")
    check_host(parts.hostname or "")
    return parts


def check_host(host: str) -> None:
    """Raises ValueError if `host` is neither a name that can be resolved nor an IP address."""
    if ":" in host or re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError("its host is not an IP address") from None
        return
    name = host.removesuffix(".")
    if not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError("it names no host")
    try:
        encoded = name.encode("idna")
        encoded.decode("idna")
    except UnicodeError:
        raise ValueError("its host is not a valid name") from None
    if len(encoded) > _MAX_HOST:
        raise ValueError("its host's name is too long")
