"""Where the owner of a system's reads is asked: a socket of this machine, or TCP with TLS."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from bridge.model.errors import ConfigurationError
from bridge.private_files import FILE_MODE, make_private_folder
from bridge.tls import TlsFiles, UnusableTlsFiles, tls_context

MAX_SOCKET_PATH: Final = 100
"""Bytes of a socket's path: the kernel's bound is 107, and it is bound under a temporary name first."""
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where one system's owner listens.

    path: of a Unix socket; empty: TCP with TLS at `host` and `port`.
    tls: of the owner the certificate and key, of clients the authority.
    token: what clients have to know over TCP; secret.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: TlsFiles | None = None
    token: str = field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


def path_problem(path: Path) -> str:
    """Why there can't be a socket with this path; empty if there can."""
    size = len(os.fsencode(path))
    if size <= MAX_SOCKET_PATH:
        return ""
    return f"the gateway's socket {path} has a path of {size} bytes; at most {MAX_SOCKET_PATH} are possible"


def bind_private(path: Path) -> socket.socket:
    """A Unix socket at `path` that only its owner may connect to, from its creation on.

    Replaces the one that was there: its process is gone, or has lost the system to this one. Raises
    ConfigurationError for a path that can't be used.
    """
    if problem := path_problem(path):
        raise ConfigurationError(f"{problem}: set `socket:` under `gateway:`")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        make_private_folder(path.parent)
        # Nobody else may enter this folder, so that the socket's mode is set before it can be reached.
        folder = Path(mkdtemp(prefix=".", dir=path.parent))
        try:
            hidden = folder / "s"
            listener.bind(str(hidden))
            hidden.chmod(FILE_MODE)
            hidden.replace(path)
        finally:
            folder.rmdir()
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"the gateway's socket {path} can't be made: {error.strerror or error}"
        ) from None
    return listener


def peer_user(connection: socket.socket) -> int | None:
    """The user id of the process at the other end; None where the system doesn't say it."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or connection.family != socket.AF_UNIX:
        return None
    data = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(data)[1])


def server_context(files: TlsFiles | None) -> ssl.SSLContext:
    """The TLS context of an owner. Raises ConfigurationError for files that can't be used."""
    if files is None or not files.certificate:
        raise ConfigurationError(
            "a gateway that listens on TCP needs `tls:` with `certificate` and `key` under `gateway:`"
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password, OpenSSL would prompt for one on the terminal.
        context.load_cert_chain(files.certificate, files.key or None, files.key_password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the gateway's certificate {files.certificate} can't be used: {error}"
        ) from None
    return context


def client_context(files: TlsFiles | None) -> ssl.SSLContext:
    """The TLS context of a client. Raises ConfigurationError for files that can't be used."""
    authority = TlsFiles(ca=files.ca) if files is not None else None
    try:
        return tls_context(authority)
    except UnusableTlsFiles as error:
        raise ConfigurationError(f"`tls:` of the gateway: {error}") from None
