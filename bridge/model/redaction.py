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
from bisect import bisect_left
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
_HEX_RUN: Final = re.compile(r"[0-9A-Fa-f]{8,}")
_PIECE_CHARACTERS: Final = 65_536
"""Of a long text so much is looked at at once: to undo its escapes takes a hundred times its size."""
_OWNERS: Final = count()
_CUTS: Final = ("...", "…")


class _AnchoredForms:
    """The forms with the same first characters. Tokens of one server are alike for dozens of
    characters, and there may be hundreds: none of this takes a step for each of them.
    """

    __slots__ = ("is_base64", "lengths", "ordered")

    def __init__(self, is_base64: dict[str, bool]) -> None:
        self.is_base64 = is_base64
        self.lengths = sorted({len(form) for form in is_base64})
        self.ordered = sorted(is_base64)

    def whole(self, text: str, start: int) -> Iterator[str]:
        """Every form that is in `text` at `start`."""
        for length in self.lengths:
            if (form := text[start : start + length]) in self.is_base64:
                yield form

    def longer(self, prefix: str) -> Iterator[str]:
        """Every form that begins with `prefix` and continues after it."""
        at = bisect_left(self.ordered, prefix)
        while at < len(self.ordered) and self.ordered[at].startswith(prefix):
            if len(self.ordered[at]) > len(prefix):
                yield self.ordered[at]
            at += 1


@dataclass(frozen=True, slots=True)
class _Forms:
    """What is looked for; replaced as a whole when a secret registers. `anchors` finds where any of
    them may begin.
    """

    anchors: re.Pattern[str]
    by_anchor: dict[str, _AnchoredForms]
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
        spans = _merged(_spans_in_pieces(text, forms))
        return _without(text, spans) if spans else text

    def redact_cut(self, text: str, limit: int) -> str:
        """At most `limit` characters of the redacted `text`, of which not much more is read: no
        secret that the cut goes through leaves its first part.
        """
        forms = self._current()
        if forms is None:
            return text[:limit]
        beginning = text[: limit + 2 * forms.longest]
        spans = [span for span in _merged(_spans_in_pieces(beginning, forms)) if span[0] < limit]
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
        """Rebuilt by the first text after a change: clients register far more often than texts come."""
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
    by_anchor: dict[str, dict[str, bool]] = {}
    for plain, encoded in cache.values():
        for form in plain | encoded:
            anchored = by_anchor.setdefault(form[:_ANCHOR_CHARACTERS], {})
            anchored[form] = anchored.get(form, False) or form in encoded
    # By their first characters, which lets the pattern skip all places where none of them begins.
    by_first: dict[str, list[str]] = {}
    for anchor in by_anchor:
        by_first.setdefault(anchor[0], []).append(re.escape(anchor[1:]))
    pattern = "|".join(f"{re.escape(first)}(?:{'|'.join(r)})" for first, r in by_first.items())
    # One character may be escaped by twelve: as an entity, or as a pair of surrogates.
    return _Forms(
        re.compile(pattern),
        {anchor: _AnchoredForms(anchored) for anchor, anchored in by_anchor.items()},
        12 * max(len(secret) for secret in cache),
    )


def _spans_in_pieces(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    size = max(_PIECE_CHARACTERS, forms.longest)
    if len(text) <= size + forms.longest:
        yield from _spans(text, forms)
        return
    for first in range(0, len(text), size):
        before = max(0, first - forms.longest)
        for start, end in _spans(text[before : first + size + forms.longest], forms):
            # What begins after the piece is seen whole by the next one.
            if before + start < first + size:
                yield before + start, before + end


def _spans(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    """Where secrets are in `text`."""
    yield from _spans_as_written(text, forms)
    lowered = _HEX_RUN.sub(lambda run: run[0].lower(), text)
    if lowered != text:
        yield from _spans_as_written(lowered, forms)
    for layer in unescaped(text):
        for start, end in _spans_as_written(layer.text, forms):
            yield layer.span(start, end)


def _spans_as_written(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    ends = _ends(text)
    for anchor in _anchors(text, forms):
        start = anchor.start()
        anchored = forms.by_anchor[anchor[0]]
        for form in anchored.whole(text, start):
            end = start + len(form)
            yield _whole_base64(text, start, end) if anchored.is_base64[form] else (start, end)
        for end in ends:
            if not 0 < end - start < anchored.lengths[-1]:
                continue
            if form := _cut_form(text[start:end], anchored, is_marked=end < len(text)):
                yield _whole_base64(text, start, end) if anchored.is_base64[form] else (start, end)
                break
    for start in _beginnings(text):
        if end := _cut_in_front(text, start, forms, ends):
            yield start, end


def _anchors(text: str, forms: _Forms) -> Iterator[re.Match[str]]:
    anchor = forms.anchors.search(text)
    while anchor:
        yield anchor
        anchor = forms.anchors.search(text, anchor.start() + 1)


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


def _beginnings(text: str) -> Iterator[int]:
    """Where the rest of a text may begin whose first part was left out by who wrote it."""
    for cut in _CUTS:
        yield from {at + len(cut) for at in (text.find(cut), text.rfind(cut)) if at >= 0}


def _cut_form(prefix: str, anchored: _AnchoredForms, *, is_marked: bool) -> str:
    """A form of which `prefix` is the first part; empty where there is none, or too little is left.
    `is_marked`: dots say that something is missing, which the end of a text does not.
    """
    if len(prefix) < (_ANCHOR_CHARACTERS if is_marked else _MIN_PREFIX_CHARACTERS):
        return ""
    for form in anchored.longer(prefix):
        if len(prefix) >= min(_MIN_PREFIX_CHARACTERS, max(_ANCHOR_CHARACTERS, len(form) // 2)):
            return form
    return ""


def _cut_in_front(text: str, start: int, forms: _Forms, ends: list[int]) -> int:
    """Where the last part of a form ends that begins at `start`; 0 where there is none."""
    first = text[start : start + _MIN_PREFIX_CHARACTERS]
    if len(first) < _MIN_PREFIX_CHARACTERS:
        return 0
    longest = 0
    for anchored in forms.by_anchor.values():
        for form in anchored.ordered:
            at = form.find(first, 1)
            while at > 0:
                end = start + len(form) - at
                within = [end, *(cut for cut in ends if start + len(first) <= cut < end)]
                longest = max(
                    longest,
                    *(e if text[start:e] == form[at : at + e - start] else 0 for e in within),
                )
                at = form.find(first, at + 1)
    return longest


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
    {
        "reason",
        "message",
        "waiting",
        "troubles",
        "remarks",
        "problems",
        "error",
        "traceback",
        "what",
        "hint",
        "why",
        "failed",
    }
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
