"""The one place that removes secrets from texts.

Code that reads a secret from the configuration, or receives a token, a session or a cookie from a
server, registers it here. Texts of errors, log lines, receipts and dead letters are redacted when
they are created, before they are cut, and again when they leave the process. Values of events and
rows are business data and are never touched.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from itertools import chain, count
from typing import Final

from bridge.model.secret_forms import MIN_SECRET_CHARACTERS, base64_forms, plain_forms
from bridge.model.secret_search import SecretForms, build_forms, secret_spans

HIDDEN: Final = "***"
GENERATIONS: Final = 4
"""How many values of one secret stay registered: a server may repeat a replaced one."""
MAX_RETIRED_SECRETS: Final = 256
"""How many tokens of closed clients stay registered."""
_OWNERS: Final = count()


class Redactor:
    """Holds secrets and removes them from texts. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lasting: dict[str, deque[str]] = {}
        self._held: dict[int, deque[str]] = {}
        self._gone: deque[int] = deque()
        self._retired: deque[str] = deque(maxlen=MAX_RETIRED_SECRETS)
        self._cache: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._forms: SecretForms | None = None
        self._is_stale = False

    def register(self, secret: str, name: str = "") -> None:
        """Hide `secret` from now on; the last `GENERATIONS` values under one `name` stay hidden.
        Secrets of fewer than `MIN_SECRET_CHARACTERS` characters can't be hidden.
        """
        with self._lock:
            self._note(self._lasting.setdefault(name or secret, deque(maxlen=GENERATIONS)), secret)

    def hold(self, owner: int, secret: str) -> None:
        """Hide one more secret of an owner: the last `GENERATIONS` of them."""
        with self._lock:
            self._note(self._held.setdefault(owner, deque(maxlen=GENERATIONS)), secret)

    def retire(self, owner: int) -> None:
        """The owner is gone: its secrets join the `MAX_RETIRED_SECRETS` retired ones."""
        # Called while garbage is collected, in any thread and within any call of this class.
        self._gone.append(owner)

    def redact(self, text: str) -> str:
        """`text` with `***` in place of each secret, in any encoding."""
        forms = self._current()
        if forms is None:
            return text
        spans = secret_spans(text, forms)
        return _without(text, spans) if spans else text

    def redact_cut(self, text: str, limit: int) -> str:
        """At most `limit` characters of the redacted `text`, reading little more than that; a
        secret that is cut through doesn't leave its first part.
        """
        forms = self._current()
        if forms is None:
            return text[:limit]
        beginning = text[: limit + 2 * forms.longest]
        spans = [span for span in secret_spans(beginning, forms) if span[0] < limit]
        end = max(limit, spans[-1][1] if spans else 0)
        return _without(beginning[:end], spans)[:limit]

    def _note(self, values: deque[str], secret: str) -> None:
        if len(secret) < MIN_SECRET_CHARACTERS:
            return
        if secret in values:
            values.remove(secret)
        else:
            self._is_stale = True
        values.append(secret)

    def _current(self) -> SecretForms | None:
        """Rebuilt for the first text after a change, because registrations are far more frequent
        than texts.
        """
        if self._is_stale:
            with self._lock:
                if self._is_stale:
                    self._forms = self._rebuilt()
                    self._is_stale = False
        return self._forms

    def _rebuilt(self) -> SecretForms | None:
        while self._gone:
            self._retired.extend(self._held.pop(self._gone.popleft(), ()))
        secrets = dict.fromkeys(chain(*self._lasting.values(), *self._held.values(), self._retired))
        self._cache = {
            secret: self._cache.get(secret) or (plain_forms(secret), base64_forms(secret))
            for secret in secrets
        }
        return build_forms(self._cache) if self._cache else None


class SecretGenerations:
    """The current and earlier tokens, sessions or cookies of one client: hidden while it exists,
    and for a while afterwards.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or REDACTOR
        self._owner = next(_OWNERS)
        self._latest = ""
        weakref.finalize(self, self._redactor.retire, self._owner).atexit = False

    def add(self, secret: str) -> bool:
        """Hide `secret` from now on; False if it is the last one added."""
        if secret == self._latest:
            return False
        self._latest = secret
        self._redactor.hold(self._owner, secret)
        return True


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces += (text[at:start], HIDDEN)
        at = end
    return "".join((*pieces, text[at:]))


REDACTOR: Final = Redactor()
"""The redactor of this process."""


def register_secret(secret: str, name: str = "") -> None:
    """`Redactor.register` of this process's redactor."""
    REDACTOR.register(secret, name)


def register_login(user: str, password: str, name: str) -> None:
    """Hide a password, and user and password together as logins send them."""
    register_secret(password, f"{name} password")
    if password:
        register_secret(f"{user}:{password}", f"{name} login")


def redact(text: str) -> str:
    """`Redactor.redact` of this process's redactor."""
    return REDACTOR.redact(text)


def redact_cut(text: str, limit: int) -> str:
    """`Redactor.redact_cut` of this process's redactor."""
    return REDACTOR.redact_cut(text, limit)
