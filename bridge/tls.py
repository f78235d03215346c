"""TLS for every HTTP client: which authorities it trusts, and which certificate it presents.

One section of the configuration (`tls:`), one function that builds the SSL context from it.
Verification can't be turned off: to trust a self-signed certificate, name it as `ca`.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cache


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files; empty if not configured.
    `ca`: authorities to trust instead of the default ones.
    `certificate`: the client's own.
    `key`: its private key, if the certificate's file doesn't contain it.
    `key_password`: the password of the key.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)


class UnusableTlsFiles(ValueError):
    """The files can't be read, don't match, or the key's password is wrong; the message says
    which.
    """


def tls_context(files: TlsFiles | None) -> ssl.SSLContext:
    """The context of a client. Raises UnusableTlsFiles."""
    if files is None or files == TlsFiles():
        return _usual_context()
    try:
        context = ssl.create_default_context(cafile=files.ca) if files.ca else _new_usual_context()
        if files.certificate:
            # Without a password, OpenSSL would prompt for one on the terminal.
            context.load_cert_chain(files.certificate, files.key or None, files.key_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        names = ", ".join(name for name in (files.ca, files.certificate, files.key) if name)
        reason = getattr(error, "strerror", None) or error
        raise UnusableTlsFiles(
            f"the files under `tls:` can't be used ({names}): {reason}"
        ) from None
    return context


def tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that caused this one, if any."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def tls_refusal(error: BaseException) -> str:
    """What is wrong with the certificates of a failed request, and what to set under `tls:`; empty
    if it failed for another reason.
    """
    problem = tls_error(error)
    if isinstance(problem, ssl.SSLCertVerificationError):
        return (
            f"the server's certificate is not trusted ({problem.verify_message}); set `ca` under "
            "`tls:` to its authority's file, and use the host name that the certificate has"
        )
    if problem is not None and "ALERT" in str(problem.reason).upper():
        return (
            f"the server refuses the client's certificate, or wants one ({problem.reason}); see "
            "`certificate` under `tls:`"
        )
    return ""


@cache
def _usual_context() -> ssl.SSLContext:
    """Shared: reading the authorities takes a tenth of a second, and a megabyte."""
    return _new_usual_context()


def _new_usual_context() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()
