"""The one place that takes secrets out of texts.

Whoever reads a secret from the configuration, or gets a token, a session or a cookie from a server,
registers it here. Texts of errors, log lines, receipts and dead letters are redacted where they are
made, before anything is cut off them, and again where they leave the process. Values of events and
rows are business data and are never touched.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Final

from bridge.model.secret_forms import MIN_SECRET_CHARACTERS, base64_forms, plain_forms
from bridge.model.unescaping import unescaped

HIDDEN: Final = "***"
GENERATIONS: Final = 4
"""Values of one secret that stay registered: a server may repeat one that was replaced."""
MAX_RETIRED_SECRETS: Final = 256
"""Tokens of clients that are gone which stay registered."""
_ANCHOR_CHARACTERS: Final = 4
"""No form has fewer."""
_MIN_PREFIX_CHARACTERS: Final = 8
_BASE64_SIGNS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_="
)
_MAX_BASE64_EDGE_CHARACTERS: Final = 3
_OWNERS: Final = count()
_CUTS: Final = ("...", "…")


@dataclass(frozen=True, slots=True)
class _Forms:
    """What is looked for; replaced as a whole when a secret registers. `anchors` finds where any of
    them may begin.
    """

    anchors: re.Pattern[str]
    by_anchor: dict[str, list[tuple[str, bool]]]
    """By its first characters: each form, and whether it is Base64."""
    longest: int


class Redactor:
    """Knows secrets and takes them out of texts. May be used by any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._lasting: dict[str, deque[str]] = {}
        self._held: dict[int, deque[str]] = {}
        self._gone: deque[int] = deque()
        self._retired: deque[str] = deque(maxlen=MAX_RETIRED_SECRETS)
        self._cache: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._forms: _Forms | None = None
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
        """The owner is gone: his secrets are among the `MAX_RETIRED_SECRETS` retired ones."""
        # Called while garbage is collected, in any thread and within any call of this class.
        self._gone.append(owner)

    def redact(self, text: str) -> str:
        """`text` with `***` in place of each secret, in whatever encoding it is there."""
        forms = self._current()
        if forms is None:
            return text
        spans = _merged(_spans(text, forms))
        return _without(text, spans) if spans else text

    def redact_cut(self, text: str, limit: int) -> str:
        """At most `limit` characters of the redacted `text`, of which not much more is read: no
        secret that the cut goes through leaves its first part.
        """
        forms = self._current()
        if forms is None:
            return text[:limit]
        beginning = text[: limit + 2 * forms.longest]
        spans = [span for span in _merged(_spans(beginning, forms)) if span[0] < limit]
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

    def _current(self) -> _Forms | None:
        """Made anew by the first text after a change: clients register far more than anybody tells."""
        if self._is_stale:
            with self._lock:
                if self._is_stale:
                    self._forms = self._rebuilt()
                    self._is_stale = False
        return self._forms

    def _rebuilt(self) -> _Forms | None:
        while self._gone:
            self._retired.extend(self._held.pop(self._gone.popleft(), ()))
        secrets = dict.fromkeys(chain(*self._lasting.values(), *self._held.values(), self._retired))
        self._cache = {
            secret: self._cache.get(secret) or (plain_forms(secret), base64_forms(secret))
            for secret in secrets
        }
        return _forms_of(self._cache) if self._cache else None


class SecretGenerations:
    """The token, session or cookie of one client, and those before it: hidden while it lives, and a
    while after that.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or REDACTOR
        self._owner = next(_OWNERS)
        self._latest = ""
        weakref.finalize(self, self._redactor.retire, self._owner).atexit = False

    def add(self, secret: str) -> bool:
        """Hide `secret` from now on; False where it is the one that was added last."""
        if secret == self._latest:
            return False
        self._latest = secret
        self._redactor.hold(self._owner, secret)
        return True


def _forms_of(cache: Mapping[str, tuple[frozenset[str], frozenset[str]]]) -> _Forms:
    by_anchor: dict[str, list[tuple[str, bool]]] = {}
    for plain, encoded in cache.values():
        for form in plain | encoded:
            by_anchor.setdefault(form[:_ANCHOR_CHARACTERS], []).append((form, form in encoded))
    # By their first characters, which lets the pattern skip all places where none of them begins.
    by_first: dict[str, list[str]] = {}
    for anchor in by_anchor:
        by_first.setdefault(anchor[0], []).append(re.escape(anchor[1:]))
    pattern = "|".join(f"{re.escape(first)}(?:{'|'.join(r)})" for first, r in by_first.items())
    # One character may be escaped by twelve: as an entity, or as a pair of surrogates.
    return _Forms(re.compile(pattern), by_anchor, 12 * max(len(secret) for secret in cache))


def _spans(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    """Where secrets are in `text`."""
    yield from _spans_as_written(text, forms)
    for layer in unescaped(text):
        for start, end in _spans_as_written(layer.text, forms):
            yield layer.span(start, end)


def _spans_as_written(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    anchor = forms.anchors.search(text)
    ends = _ends(text) if anchor else []
    while anchor:
        start = anchor.start()
        for form, is_base64 in forms.by_anchor[anchor[0]]:
            end = (
                start + len(form) if text.startswith(form, start) else _cut(text, start, form, ends)
            )
            if end:
                yield _whole_base64(text, start, end) if is_base64 else (start, end)
        anchor = forms.anchors.search(text, start + 1)


def _whole_base64(text: str, start: int, end: int) -> tuple[int, int]:
    """With the characters at its edges, which hold some bits of the secret, too, and its padding."""
    if start > 0 and text[start - 1] in _BASE64_SIGNS:
        start -= 1
    last = min(len(text), end + _MAX_BASE64_EDGE_CHARACTERS)
    while end < last and text[end] in _BASE64_SIGNS:
        end += 1
    return start, end


def _ends(text: str) -> list[int]:
    """Where a text may have been cut by who wrote it; the last one first."""
    ends = {len(text)}
    for cut in _CUTS:
        ends |= {text.find(cut), text.rfind(cut)} - {-1}
    return sorted(ends, reverse=True)


def _cut(text: str, start: int, form: str, ends: list[int]) -> int:
    """Where the first part of `form` that begins at `start` was cut; 0 where it wasn't."""
    for end in ends:
        shortest = _MIN_PREFIX_CHARACTERS
        if end < len(text):  # dots say that something is missing, the end of a text does not
            shortest = min(shortest, max(_ANCHOR_CHARACTERS, len(form) // 2))
        if shortest <= end - start < len(form) and form.startswith(text[start:end]):
            return end
    return 0


def _merged(spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces += (text[at:start], HIDDEN)
        at = end
    return "".join((*pieces, text[at:]))


REDACTOR: Final = Redactor()
"""The process's own."""


def register_secret(secret: str, name: str = "") -> None:
    """`Redactor.register` of the process's own."""
    REDACTOR.register(secret, name)


def register_login(user: str, password: str, name: str) -> None:
    """Hide a password and, as logins send them together, the two of them."""
    register_secret(password, f"{name} password")
    if password:
        register_secret(f"{user}:{password}", f"{name} login")


def redact(text: str) -> str:
    """`Redactor.redact` of the process's own."""
    return REDACTOR.redact(text)


def redact_cut(text: str, limit: int) -> str:
    """`Redactor.redact_cut` of the process's own."""
    return REDACTOR.redact_cut(text, limit)


MESSAGE_NAMES: Final = frozenset(
    {"reason", "message", "waiting", "troubles", "error", "trace", "what", "hint", "why", "failed"}
)
"""Fields that hold sentences; all others hold names, numbers and values."""


def redact_messages(value: Any, name: str = "") -> Any:
    """A copy of `value` (JSON's objects, lists and texts) whose sentences hold no secret: texts under
    `MESSAGE_NAMES`, at any depth.
    """
    if isinstance(value, str):
        return redact(value) if name in MESSAGE_NAMES else value
    if isinstance(value, Mapping):
        inner = name if name in MESSAGE_NAMES else ""
        return {key: redact_messages(item, inner or str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_messages(item, name) for item in value]
    return value
