"""TLS of every client that speaks HTTP: whom it trusts, and as whom it appears.

One section of the configuration (`tls:`), one place that makes the context of it. Verification can't
be turned off: a server with a certificate of its own is trusted by naming that as `ca`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cache


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files; empty where nothing is said. `ca`: authorities to trust instead of the
    usual ones; `certificate` the client's own, `key` its key where the certificate's file has none,
    `key_password` what that is locked with.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)


class UnusableTlsFiles(ValueError):
    """The files can't be read, don't fit each other, or the key's password is wrong; says which."""


def tls_context(files: TlsFiles | None) -> ssl.SSLContext:
    """The context of a client. Raises UnusableTlsFiles."""
    if files is None or files == TlsFiles():
        return _usual_context()
    try:
        context = ssl.create_default_context(cafile=files.ca) if files.ca else _new_usual_context()
        if files.certificate:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(files.certificate, files.key or None, files.key_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        names = ", ".join(name for name in (files.ca, files.certificate, files.key) if name)
        reason = getattr(error, "strerror", None) or error
        raise UnusableTlsFiles(
            f"the files under `tls:` can't be used ({names}): {reason}"
        ) from None
    return context


def tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The error of TLS that another one comes from, if any."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def tls_refusal(error: BaseException) -> str:
    """What is wrong with the certificates of an exchange that failed, and what to name under `tls:`;
    empty where it failed for another reason.
    """
    problem = tls_error(error)
    if isinstance(problem, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted ({problem.verify_message}); name the file of "
            "its authority as `ca` under `tls:`, and the host as the certificate has it"
        )
    if problem is not None and "ALERT" in str(problem.reason).upper():
        return (
            f"the server refuses the client's certificate, or wants one ({problem.reason}); see "
            "`certificate` under `tls:`"
        )
    return ""


@cache
def _usual_context() -> ssl.SSLContext:
    """One for all: reading the authorities takes a tenth of a second, and a megabyte."""
    return _new_usual_context()


def _new_usual_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()
