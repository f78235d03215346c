"""The current login: its secrets are read again after a refusal, and refused logins are retried
slowly.

A secret that is replaced while the process runs (in a Kubernetes file, say) is used without a
restart, whichever of the file and the other side changes first. Repeated refusals may lock the
account, so all parts of a process that log in to one system share this object, and wait longer
after each refusal.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from bridge.model.errors import BridgeError, ConfigurationError, LoginRefused, RetryLater

Result = TypeVar("Result")
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 300.0
LONGEST_ATTEMPT_S: Final = 30.0
"""Seconds for which one try of a refused login blocks tries of other parts."""
READ_AGAIN_S: Final = 1.0
"""Seconds between reads of the secrets while a refused login waits."""


class Credentials(NamedTuple):
    """The resolved `url`, and `login` (`System.login`; for a registry, user and password)."""

    url: str
    login: Any = None

    def __repr__(self) -> str:
        return "Credentials(***)"


class Attempt(NamedTuple):
    """One try to log in. `number`: of the credentials, increased when they change."""

    credentials: Credentials
    number: int


class CurrentLogin:
    """Thread-safe.
    `read_again`: reads the secrets again (None: they can't change); raises ConfigurationError if
    one is missing.
    `by_restart`: all secrets are environment variables, which don't change while the process runs.
    """

    def __init__(
        self,
        credentials: Credentials,
        read_again: Callable[[], Credentials] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        by_restart: bool = False,
    ) -> None:
        self._by_restart = by_restart
        self._credentials = credentials
        self._read_again = read_again
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._number = 0
        self._was_accepted = False
        self._refusal: BridgeError | None = None
        self._wait_s = 0.0
        self._refused_at = 0.0
        self._read_at = 0.0
        self._tried_until: float = 0.0

    def __reduce__(self) -> tuple[type[CurrentLogin], tuple[Credentials]]:
        """Another process starts with the same credentials, and shares nothing else."""
        return CurrentLogin, (self._credentials,)

    def attempt(self) -> Attempt:
        """The credentials to log in with now. Raises the last refusal while it is too early for
        another try, or while another part is trying.
        """
        with self._lock:
            if self._refusal is not None and not self._renew(READ_AGAIN_S):
                now = self._monotonic()
                if now < max(self._refused_at + self._wait_s, self._tried_until):
                    raise _again(self._refusal)
                self._tried_until = now + min(self._wait_s, LONGEST_ATTEMPT_S)
            return Attempt(self._credentials, self._number)

    async def log_in(
        self, use: Callable[[Attempt], Awaitable[Result]], *, proves_login: bool = True
    ) -> Result:
        """Call `use` with the current secrets and return its result; it is called again at once if
        it raises LoginRefused and the secrets have changed since.

        - `proves_login`: if `use` returns, the other side accepted the login.

        Raises as `attempt`, and for a refused login what `refused` returns.
        """
        while True:
            attempt = self.attempt()
            with self._judged(attempt, proves_login=proves_login):
                return await use(attempt)

    def log_in_blocking(self, use: Callable[[Attempt], Result]) -> Result:
        """As `log_in`, for a thread that may wait."""
        while True:
            attempt = self.attempt()
            with self._judged(attempt, proves_login=True):
                return use(attempt)

    @contextmanager
    def _judged(self, attempt: Attempt, *, proves_login: bool) -> Iterator[None]:
        """Record how `attempt` ended. Suppresses LoginRefused if there are new secrets to try."""
        try:
            yield
        except LoginRefused as error:
            if (refusal := self.refused(attempt, error)) is not None:
                raise refusal from None
        else:
            if proves_login:
                self.accepted(attempt)
        finally:
            self.ended(attempt)

    def current(self) -> Attempt:
        """The credentials as last read, whether or not they may be tried now."""
        with self._lock:
            return Attempt(self._credentials, self._number)

    def accepted(self, attempt: Attempt) -> None:
        """The other side accepted the login."""
        if self._was_accepted and self._refusal is None:
            return
        with self._lock:
            self._was_accepted = True
            if attempt.number == self._number:
                self._refusal, self._wait_s = None, 0.0
                self._tried_until = 0.0

    def ended(self, attempt: Attempt) -> None:
        """The try is over, whether or not the login was checked: another part may try."""
        with self._lock:
            if attempt.number == self._number:
                self._tried_until = 0.0

    def refused(self, attempt: Attempt, error: LoginRefused) -> BridgeError | None:
        """The error to raise for a refusal; None: there are new secrets, try those at once.

        For a login that was accepted before it is RetryLater, because the new secret may still be
        coming. One that was never accepted is wrong, and stays `error`.
        """
        with self._lock:
            if attempt.number < self._number or self._renew(0.0):
                return None
            now = self._monotonic()
            if self._refusal is None or now >= self._refused_at + self._wait_s:
                self._wait_s = min(max(FIRST_WAIT_S, 2 * self._wait_s), LONGEST_WAIT_S)
                self._refused_at = now
            self._tried_until = 0.0
            self._refusal = self._worded(error)
            return self._refusal

    def _worded(self, error: LoginRefused) -> BridgeError:
        if not self._was_accepted:
            return error
        again = f"this one is retried after {self._wait_s:g} s"
        if self._by_restart:
            again = (
                f"restart to use a new secret, because an environment variable doesn't change "
                f"while the process runs (a secret in a file is read again); {again}"
            )
        elif self._read_again is not None:
            again = f"the secret is read again at each try, and a new one is used at once; {again}"
        return RetryLater(f"{error}; it was accepted before: {again}")

    def _renew(self, at_least_s: float) -> bool:
        """Whether the secrets have changed; reads them if the last read was `at_least_s` ago."""
        now = self._monotonic()
        if self._read_again is None or (at_least_s and now < self._read_at + at_least_s):
            return False
        self._read_at = now
        try:
            credentials = self._read_again()
        except ConfigurationError:
            return False  # Files are replaced one after the other: it is read again later.
        if credentials == self._credentials:
            return False
        self._credentials = credentials
        self._number += 1
        self._refusal, self._wait_s = None, 0.0
        self._tried_until = 0.0
        return True


def _again(error: BridgeError) -> BridgeError:
    """A new error with the same message: an error that is raised twice collects tracebacks."""
    return type(error)(str(error))
